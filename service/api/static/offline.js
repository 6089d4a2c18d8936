// What is shown where the server cannot be reached: kept by the service worker.

import { setUpTexts } from "./texts.js";

setUpTexts();
document.querySelector("button").onclick = () => location.reload();
addEventListener("online", () => location.reload());
