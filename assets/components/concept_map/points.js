// Takes the points once and keeps them for the map, so that a change of the selection does not send them again.
export default function (component) {
  const bytes = component.data;
  if (!(bytes instanceof Uint8Array)) return;
  const points = decodePoints(bytes);
  const kept = (globalThis[STORE] ??= new Map());
  kept.delete(points.digest);
  kept.set(points.digest, points);
  for (const digest of kept.keys()) if (kept.size > 3) kept.delete(digest);
  globalThis.dispatchEvent(new CustomEvent(ARRIVED, { detail: points.digest }));
}
