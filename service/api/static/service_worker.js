// What makes the page installable: it answers for the page where the server cannot be reached, and
// shows notifications. Of the API nothing is ever kept.

const CACHE = "lookout-offline-1";
const OFFLINE = "offline.html";
const KEPT = [OFFLINE, "offline.js", "texts.js", "texts_en.json", "texts_de.json", "page.css", "icon.svg"];
const kept = new Set(KEPT.map((name) => new URL(name, self.location).href));

self.addEventListener("install", (event) => {
  const requests = KEPT.map((name) => new Request(name, { cache: "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)));
  self.skipWaiting();
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) {
      if (name !== CACHE) await caches.delete(name);
    }
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = request.url.split(/[?#]/)[0];
  if (request.mode === "navigate" && url === self.registration.scope) {
    event.respondWith(fetch(request).catch(() => caches.match(new URL(OFFLINE, self.location).href)));
  } else if (request.method === "GET" && kept.has(request.url)) {
    event.respondWith(newestOf(request));
  }
});

/** Return a file that the offline page needs: from the server, else as it was there last. */
async function newestOf(request) {
  let answer = null;
  try {
    answer = await fetch(request);
  } catch (error) {
    answer = await caches.match(request.url);
    if (!answer) throw error;
    return answer;
  }
  if (answer.status === 200) await (await caches.open(CACHE)).put(request.url, answer.clone());
  return answer;
}

self.addEventListener("push", (event) => {
  const { title, text, alert } = event.data.json();
  const shown = { body: text, tag: alert, icon: new URL("icon_192.png", self.location).href };
  event.waitUntil(self.registration.showNotification(title, shown));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil((async () => {
    const [page] = await self.clients.matchAll({ type: "window" });
    if (page) await page.focus();
    else await self.clients.openWindow(self.registration.scope);
  })());
});
