// What the map works with: points as typed arrays, sets of concepts as bits, and geometry.

const STORE = "cbmConceptMaps";
const ARRIVED = "cbm-concept-map";
const CELLS = 96;

// The payload is written by cbm/ui/components/concept_map.py: length of a JSON text, the text, then columns of numbers.
function decodePoints(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  const about = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const n = about.names.length;
  let offset = 4 + length;
  const column = (type) => {
    const size = n * type.BYTES_PER_ELEMENT;
    const values = new type(bytes.slice(offset, offset + size).buffer);
    offset += size;
    return values;
  };
  const across = column(Uint16Array), down = column(Uint16Array), topClass = column(Uint16Array), shares = column(Uint16Array);
  const frequency = column(Uint8Array), score = column(Uint8Array), flags = column(Uint8Array);
  const x = new Float32Array(n), y = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    x[i] = across[i] / 32767.5 - 1;
    y[i] = down[i] / 32767.5 - 1;
  }
  // In a crowd points are smaller.
  const crowd = n > 40000 ? 0.55 : n > 4000 ? 0.85 : n > 400 ? 1.2 : 1.7;
  // Most frequent first: those are labelled first, and painted last.
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  order.sort((a, b) => frequency[b] - frequency[a] || a - b);
  return { ...about, n, crowd, x, y, topClass, shares, frequency, score, flags, order, grid: buildGrid(x, y, n) };
}

const SHOWN = 1, NAMED = 2;

function buildGrid(x, y, n) {
  const cellOf = (i) => clampCell(y[i]) * CELLS + clampCell(x[i]);
  const start = new Uint32Array(CELLS * CELLS + 1);
  for (let i = 0; i < n; i++) start[cellOf(i) + 1]++;
  for (let c = 0; c < CELLS * CELLS; c++) start[c + 1] += start[c];
  const next = start.slice(), members = new Uint32Array(n);
  for (let i = 0; i < n; i++) members[next[cellOf(i)]++] = i;
  return { start, members };
}

function clampCell(value) {
  return Math.min(CELLS - 1, Math.max(0, Math.floor(((value + 1) / 2) * CELLS)));
}

// Every point in a box of the plane, by way of the grid.
function eachWithin(points, left, top, right, bottom, visit) {
  const { start, members } = points.grid;
  for (let row = clampCell(top); row <= clampCell(bottom); row++) {
    for (let column = clampCell(left); column <= clampCell(right); column++) {
      const cell = row * CELLS + column;
      for (let k = start[cell]; k < start[cell + 1]; k++) {
        const i = members[k];
        if (points.x[i] >= left && points.x[i] <= right && points.y[i] >= top && points.y[i] <= bottom) visit(i);
      }
    }
  }
}

function hasBit(bits, i) {
  return bits !== null && (bits[i >> 3] >> (i & 7) & 1) === 1;
}

function setBit(bits, i, on) {
  if (on) bits[i >> 3] |= 1 << (i & 7);
  else bits[i >> 3] &= ~(1 << (i & 7));
}

function countBits(bits) {
  let count = 0;
  for (let byte of bits) for (; byte; byte &= byte - 1) count++;
  return count;
}

function bitsFromText(text, n) {
  const bits = new Uint8Array((n + 7) >> 3);
  const raw = atob(text);
  for (let i = 0; i < Math.min(raw.length, bits.length); i++) bits[i] = raw.charCodeAt(i);
  return bits;
}

function textFromBits(bits) {
  let end = bits.length;
  while (end && !bits[end - 1]) end--;
  let raw = "";
  for (let i = 0; i < end; i += 8192) raw += String.fromCharCode(...bits.subarray(i, Math.min(end, i + 8192)));
  return btoa(raw);
}

// Even-odd rule; `outline` holds x, y, x, y, … of the plane.
function insideOutline(outline, x, y) {
  let inside = false;
  for (let i = 0, j = outline.length - 2; i < outline.length; j = i, i += 2) {
    if (outline[i + 1] > y !== outline[j + 1] > y) {
      const cross = ((outline[j] - outline[i]) * (y - outline[i + 1])) / (outline[j + 1] - outline[i + 1]) + outline[i];
      if (x < cross) inside = !inside;
    }
  }
  return inside;
}

// The concepts inside an outline, as bits.
function withinOutline(points, outline, takes) {
  const bits = new Uint8Array((points.n + 7) >> 3);
  let left = Infinity, right = -Infinity, top = Infinity, bottom = -Infinity;
  for (let i = 0; i < outline.length; i += 2) {
    left = Math.min(left, outline[i]);
    right = Math.max(right, outline[i]);
    top = Math.min(top, outline[i + 1]);
    bottom = Math.max(bottom, outline[i + 1]);
  }
  eachWithin(points, left, top, right, bottom, (i) => {
    if (takes(i) && insideOutline(outline, points.x[i], points.y[i])) setBit(bits, i, true);
  });
  return bits;
}
