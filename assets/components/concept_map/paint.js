// How the map looks: colours of the theme, points as stamps in a buffer of pixels, labels that never overlap.

const MOST_LABELS = 46;
// Viridis, thinned: even steps of lightness, told apart with any colour vision.
const LADDER = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"];

function readTheme(element) {
  const style = getComputedStyle(element);
  const value = (name, otherwise) => {
    const text = style.getPropertyValue(name).trim();
    return text && text !== "unset" ? text : otherwise;
  };
  const background = toRgb(value("--st-background-color", "#ffffff"));
  const text = toRgb(value("--st-text-color", "#222222"));
  const dark = background[0] + background[1] + background[2] < 384;
  return {
    dark,
    background,
    text,
    accent: toRgb(value("--st-primary-color", "#0b6b8a")),
    muted: mix(background, text, dark ? 0.36 : 0.3),
    faint: mix(background, text, dark ? 0.16 : 0.1),
    palette: value("--st-chart-categorical-colors", "#2b8cc4,#d9601a,#0e9f77,#c67ba6,#b88600,#6fa8c9,#6b6a66").split(",").slice(0, 6).map(toRgb),
    font: value("--st-font", "sans-serif"),
  };
}

let probe = null;
function toRgb(text) {
  probe ??= document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  probe.fillStyle = text.trim();
  probe.fillRect(0, 0, 1, 1);
  return [...probe.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
}

function mix(from, to, share) {
  return from.map((value, i) => Math.round(value + (to[i] - value) * share));
}

function css(rgb, alpha = 1) {
  return `rgba(${rgb[0]}, ${rgb[1]}, ${rgb[2]}, ${alpha})`;
}

// One colour index for every point, the colours, and what the legend says.
function colouring(points, by, theme, kept) {
  const index = new Uint8Array(points.n);
  if (by === "class") {
    const counts = new Map();
    for (let i = 0; i < points.n; i++) {
      if (points.topClass[i] && hasBit(kept, i)) counts.set(points.topClass[i], (counts.get(points.topClass[i]) ?? 0) + 1);
    }
    const leading = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, theme.palette.length).map(([label]) => label);
    const place = new Map(leading.map((label, i) => [label, i]));
    for (let i = 0; i < points.n; i++) {
      index[i] = points.topClass[i] ? place.get(points.topClass[i]) ?? leading.length : leading.length + 1;
    }
    const colours = [...theme.palette.slice(0, leading.length), theme.muted, theme.faint];
    const rest = counts.size - leading.length;
    const legend = leading.map((label, i) => [points.classes[label - 1], colours[i]]);
    if (rest > 0) legend.push([`${rest} other class${rest > 1 ? "es" : ""}`, theme.muted]);
    if (index.includes(leading.length + 1)) legend.push(["fires on no labelled image", theme.faint]);
    return { index, colours, legend, ladder: null };
  }
  const values = by === "score" ? points.score : points.frequency;
  const stops = (theme.dark ? LADDER.slice(1) : [...LADDER].reverse()).map(toRgb);
  const colours = Array.from({ length: 32 }, (_, i) => {
    const at = (i / 31) * (stops.length - 1), low = Math.min(stops.length - 2, Math.floor(at));
    return mix(stops[low], stops[low + 1], at - low);
  });
  for (let i = 0; i < points.n; i++) index[i] = values[i] ? 1 + Math.min(30, values[i] >> 3) : 0;
  colours[0] = theme.faint;
  return { index, colours, legend: [], ladder: { stops, ends: points.ends[by] } };
}

// A disc as a list of pixels with their cover, so that 100,000 of them are a loop over small arrays.
const stamps = new Map();
function stampOf(radius) {
  const key = Math.round(radius * 4);
  let stamp = stamps.get(key);
  if (!stamp) {
    const r = key / 4, reach = Math.ceil(r), pixels = [];
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) {
        const cover = Math.min(1, Math.max(0, r + 0.5 - Math.hypot(dx, dy)));
        if (cover > 0.04) pixels.push(dx, dy, Math.round(cover * 256));
      }
    }
    stamp = { reach, pixels: Int16Array.from(pixels) };
    stamps.set(key, stamp);
  }
  return stamp;
}

function pointRadius(points, i, zoom, ratio) {
  const base = 1.1 + 4.4 * Math.sqrt(points.frequency[i] / 255);
  return base * Math.min(2.2, Math.max(0.8, Math.pow(zoom, 0.35))) * ratio * points.crowd;
}

function paintPoints(buffer, width, height, map, paint) {
  const { points, view, ratio, kept, selected } = map;
  const [r, g, b] = paint.theme.background;
  new Uint32Array(buffer.data.buffer).fill((255 << 24) | (b << 16) | (g << 8) | r);
  // Not the clamped view of the buffer: it rounds, which takes as long as all the rest.
  const data = new Uint8Array(buffer.data.buffer);
  const { index, colours } = paint.colouring;
  const opacity = points.n > 20000 ? 160 : 220;
  const passes = selected ? [0, 1, 2] : [0, 2];
  for (const pass of passes) {
    for (let k = points.n - 1; k >= 0; k--) {
      const i = points.order[k];
      if (!(points.flags[i] & SHOWN)) continue;
      const inList = hasBit(kept, i);
      const layer = !inList ? 0 : selected && !hasBit(selected, i) ? 1 : 2;
      if (layer !== pass) continue;
      const px = Math.round((points.x[i] * view.scale + view.x) * ratio), py = Math.round((points.y[i] * view.scale + view.y) * ratio);
      const stamp = stampOf(layer === 0 ? ratio : pointRadius(points, i, view.scale / map.fitScale, ratio) * (layer === 1 ? 0.75 : 1));
      if (px < -stamp.reach || py < -stamp.reach || px >= width + stamp.reach || py >= height + stamp.reach) continue;
      const colour = layer === 2 ? colours[index[i]] : paint.theme.faint;
      blend(data, width, height, px, py, stamp.pixels, colour, layer === 2 ? opacity : 205);
    }
  }
}

function blend(data, width, height, px, py, pixels, [red, green, blue], opacity) {
  for (let p = 0; p < pixels.length; p += 3) {
    const x = px + pixels[p], y = py + pixels[p + 1];
    if (x < 0 || y < 0 || x >= width || y >= height) continue;
    const at = (y * width + x) * 4, cover = (pixels[p + 2] * opacity) >> 8;
    data[at] += ((red - data[at]) * cover) >> 8;
    data[at + 1] += ((green - data[at + 1]) * cover) >> 8;
    data[at + 2] += ((blue - data[at + 2]) * cover) >> 8;
  }
}

// Names of regions from far, of concepts from near; greedy by importance, and none that touches another.
function placeLabels(context, map, width, height) {
  const { points, view, fitScale, kept, selected } = map;
  const zoom = view.scale / fitScale, placed = [];
  const fits = (box) =>
    box.left > 2 && box.right < width - 2 && box.top > 2 && box.bottom < height - 2 &&
    placed.every((other) => box.left > other.right + 6 || box.right < other.left - 6 || box.top > other.bottom + 2 || box.bottom < other.top - 2);
  const place = (text, x, y, size, weight, concept) => {
    context.font = `${weight} ${size}px ${map.theme.font}`;
    const half = context.measureText(text).width / 2;
    const box = { text, x, y, size, weight, concept, left: x - half, right: x + half, top: y - size * 0.7, bottom: y + size * 0.7 };
    if (fits(box)) placed.push(box);
  };
  const left = (0 - view.x) / view.scale, right = (width - view.x) / view.scale;
  const top = (0 - view.y) / view.scale, bottom = (height - view.y) / view.scale;
  let inSight = 0;
  eachWithin(points, left, top, right, bottom, (i) => (inSight += hasBit(kept, i) && points.flags[i] & SHOWN ? 1 : 0));
  const near = zoom >= 4.5 || inSight <= 220;
  if (!near && !selected) {
    const level = zoom < 2 ? 0 : 1;
    for (const [text, x, y, at] of points.regions) {
      if (at === level) place(text, x * view.scale + view.x, y * view.scale + view.y, level ? 13 : 15, 600, -1);
    }
  }
  if (near || selected || zoom >= 3) {
    for (let k = 0; k < points.n && placed.length < MOST_LABELS; k++) {
      const i = points.order[k];
      const wanted = (points.flags[i] & (SHOWN | NAMED)) === (SHOWN | NAMED) && hasBit(kept, i) && (!selected || hasBit(selected, i));
      if (!wanted || points.x[i] < left || points.x[i] > right || points.y[i] < top || points.y[i] > bottom) continue;
      const lift = pointRadius(points, i, zoom, 1) + 9;
      place(points.names[i], points.x[i] * view.scale + view.x, points.y[i] * view.scale + view.y - lift, 12, 400, i);
    }
  }
  return placed;
}

function paintLabels(context, labels, theme) {
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  for (const label of labels) {
    context.font = `${label.weight} ${label.size}px ${theme.font}`;
    context.lineWidth = 4;
    context.strokeStyle = css(theme.background, 0.88);
    context.strokeText(label.text, label.x, label.y);
    context.fillStyle = css(theme.text);
    context.fillText(label.text, label.x, label.y);
  }
}

function drawLegend(element, { legend, ladder }) {
  element.replaceChildren();
  if (ladder) {
    const bar = document.createElement("span");
    bar.className = "ladder";
    bar.style.background = `linear-gradient(to right, ${ladder.stops.map((stop) => css(stop)).join(", ")})`;
    element.append(ladder.ends[0], bar, ladder.ends[1]);
  }
  for (const [name, colour] of legend) {
    const entry = document.createElement("span"), dot = document.createElement("i");
    entry.className = "entry";
    dot.style.background = css(colour);
    entry.append(dot, name);
    element.append(entry);
  }
}
