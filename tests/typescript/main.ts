// The calls of an integrator, by the client that is generated; it prints what they gave as JSON.

import { AlertsApi, CamerasApi, Configuration, HealthApi, JobsApi, ProblemFromJSON, ResponseError, ScoresApi } from "./client/index.js";

declare const process: { argv: string[] };

const [basePath, url] = process.argv.slice(2) as [string, string];
const configuration = new Configuration({ basePath });
const cameras = new CamerasApi(configuration);
const scores = new ScoresApi(configuration);

/** Return the status and title of the problem that a call is refused with. */
async function refused(call: Promise<unknown>): Promise<[number, string]> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof ResponseError)) throw error;
    const { status, title } = ProblemFromJSON(await error.response.json());
    return [status, title];
  }
  throw new Error("it was not refused");
}

const cameraSpec = { id: "gate", url, fps: 10 };
const made = await cameras.createCamera({ cameraSpec });
const listed = await cameras.listCameras();
const changed = await cameras.updateCamera({ camera: "gate", cameraChange: { enabled: false } });
const again = await refused(cameras.createCamera({ cameraSpec }));
const missing = await refused(cameras.getCamera({ camera: "nobody" }));
const jobs = new JobsApi(configuration);
const uploaded = await jobs.putRecording({ name: "b.mp4", body: new Blob(["footage"]) });
const period = { kind: "replay" as const, camera: "yard", from: 1000, to: 2000 };
const replay = await jobs.replayRecording({ replayRequest: period });
const frame = new Uint8Array(await (await scores.getFrame({ camera: "yard" })).arrayBuffer());
const found = {
  made: made.id,
  listed: listed.items.map((camera) => camera.id),
  next: listed.next,
  enabled: changed.enabled,
  again,
  missing,
  scores: (await scores.listScores({ camera: "yard" })).items.map((score) => score.id),
  frame: String.fromCharCode(...frame.slice(1, 4)),
  uploaded: [uploaded.name, uploaded.sizeBytes],
  until: replay.until,
  alerts: (await new AlertsApi(configuration).listAlerts()).items,
  health: (await new HealthApi(configuration).healthz()).status,
};
await cameras.deleteCamera({ camera: "gate" });
console.log(JSON.stringify(found));
