// The page's files: fetched once with progress, checked by sha256, and kept in the browser's cache under that number.

const STORE = "safedpo-live-model";

/** Open the store, or null where the browser has none (a page that is neither https nor local). */
async function openStore(wanted) {
  if (!globalThis.caches) return null;
  try {
    const store = await caches.open(STORE), keys = new Set(wanted.map(({ key }) => new URL(key, location.href).href));
    for (const request of await store.keys()) if (!keys.has(request.url)) await store.delete(request);
    return store;
  } catch {
    return null; // private windows may refuse
  }
}

/**
 * Get all files: name -> ArrayBuffer. `files`: name -> `{ path, bytes, sha256 }`; `progress(bytes, total, kept)` hears
 * how far it is, and whether everything so far came from the cache.
 */
export async function getFiles(files, base, progress) {
  const wanted = Object.entries(files).map(([name, file]) => {
    const url = new URL(file.path, base);
    return { name, ...file, url: url.href, key: `${url.href}?sha256=${file.sha256}` };
  });
  const store = await openStore(wanted), total = wanted.reduce((sum, file) => sum + file.bytes, 0);
  let done = 0, kept = true;
  const heard = (bytes, fromStore) => progress((done += bytes), total, (kept &&= fromStore));
  const found = await Promise.all(wanted.map(async (file) => [file.name, await getFile(file, store, heard)]));
  return Object.fromEntries(found);
}

async function getFile(file, store, heard) {
  const known = await store?.match(file.key);
  if (known) {
    const buffer = await known.arrayBuffer();
    if (buffer.byteLength === file.bytes) {
      heard(file.bytes, true);
      return buffer;
    }
  }
  const response = await fetch(file.url, { cache: store ? "no-store" : "default" });
  if (!response.ok) throw new Error(`${file.path}: ${response.status} ${response.statusText}`);
  const buffer = await collect(response, file, (bytes) => heard(bytes, false));
  await check(buffer, file);
  // A full disk is no reason to stop: the file is here, only not kept.
  if (store) await store.put(file.key, new Response(buffer)).catch(() => store.delete(file.key));
  return buffer;
}

async function collect(response, file, heard) {
  const bytes = new Uint8Array(file.bytes), reader = response.body.getReader();
  let at = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (at + value.length > file.bytes) throw new Error(`${file.path} is longer than ${file.bytes} bytes`);
    bytes.set(value, at);
    at += value.length;
    heard(value.length);
  }
  if (at < file.bytes) throw new Error(`${file.path} ends after ${at} of ${file.bytes} bytes`);
  return bytes.buffer;
}

async function check(buffer, file) {
  if (!globalThis.crypto?.subtle) return; // as with the store: only https and local pages have it
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", buffer));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (hex !== file.sha256) throw new Error(`${file.path} is not the expected file: its sha256 is ${hex}`);
}

/** Unpack gzip. */
export async function unpacked(buffer) {
  return new Response(new Blob([buffer]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** Free a buffer now rather than when the garbage collector comes by. */
export function release(buffer) {
  if (buffer.transfer) return void buffer.transfer(0);
  const { port1, port2 } = new MessageChannel(); // an older browser: send it to where nobody listens
  port1.postMessage(buffer, [buffer]);
  port1.close();
  port2.close();
}
