// The map itself: one instance for each place on a page. Python says what to show; what the visitor does goes back as events.

const instances = new WeakMap();
const LAST = "cbmConceptMapView";

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".map");
  if (!root) return;
  let map = instances.get(root);
  if (!map) {
    map = create(root);
    instances.set(root, map);
  }
  map.send = setTriggerValue;
  map.take(data);
  return () => {
    map.stop();
    instances.delete(root);
  };
}

function create(root) {
  const find = (selector) => root.querySelector(selector);
  const stage = find(".stage"), base = find(".base"), over = find(".over"), card = find(".card"), live = find(".live");
  const map = {
    points: null, kept: null, selected: null, view: { x: 0, y: 0, scale: 1 }, fitScale: 1, ratio: 1, theme: null,
    mode: "pan", hover: -1, focus: -1, labels: [], outline: null, drag: null, pictures: new Map(), asked: new Set(), data: {}, send: () => {},
  };
  let width = 0, height = 0, frame = 0, paint = null, fresh = true;
  const pointers = new Map();
  const listeners = new AbortController();
  const on = (element, name, act, options = {}) => element.addEventListener(name, act, { ...options, signal: listeners.signal });

  // What Python says

  map.take = (data) => {
    if (data.points !== map.data.points) {
      // Another model's concepts, or other names: what is known of a number is of the concept that bore it.
      map.pictures.clear();
      map.asked.clear();
    }
    map.data = data;
    map.theme = readTheme(root);
    for (const [concept, picture] of Object.entries(data.pictures ?? {})) map.pictures.set(Number(concept), picture);
    adopt();
  };

  function adopt() {
    const points = globalThis[STORE]?.get(map.data.points);
    root.classList.toggle("waiting", !points);
    if (!points) return;
    if (map.points?.digest !== points.digest) {
      const first = !map.points || map.points.n !== points.n;
      map.points = points;
      map.hover = map.focus = -1;
      if (first) fresh = true;
    }
    map.kept = bitsFromText(map.data.kept, points.n);
    map.selected = map.data.selected ? bitsFromText(map.data.selected, points.n) : null;
    paint = { theme: map.theme, colouring: colouring(points, map.data.colour, map.theme, map.kept) };
    drawLegend(find(".legend"), paint.colouring);
    over.setAttribute("aria-label", map.data.label);
    measure();
    showCard();
  }
  on(globalThis, ARRIVED, adopt);

  // Drawing

  function measure() {
    const box = stage.getBoundingClientRect();
    if (!box.width || !map.points) return;
    const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
    const changed = box.width !== width || box.height !== height || ratio !== map.ratio;
    width = box.width;
    height = box.height;
    map.ratio = ratio;
    if (changed) {
      for (const canvas of [base, over]) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
      }
      const before = map.fitScale;
      map.fitScale = Math.min(width, height) / 2.12;
      if (!fresh) map.view.scale *= map.fitScale / before;
    }
    if (fresh) resume();
    draw();
  }
  const observer = new ResizeObserver(measure);
  observer.observe(stage);

  // A map that is drawn again elsewhere on the page looks at what the one before looked at.
  function resume() {
    const last = globalThis[LAST];
    if (!last || last.n !== map.points.n || Math.abs(last.width - width) > 40) return fit();
    fresh = false;
    map.view = { ...last.view };
  }

  function fit() {
    fresh = false;
    map.view = { x: width / 2, y: height / 2, scale: map.fitScale };
  }

  function draw() {
    if (!frame) frame = requestAnimationFrame(drawNow);
  }

  function drawNow() {
    frame = 0;
    if (!map.points || !width || !paint) return;
    const started = performance.now();
    const context = base.getContext("2d");
    const buffer = context.createImageData(base.width, base.height);
    paintPoints(buffer, base.width, base.height, map, paint);
    context.putImageData(buffer, 0, 0);
    const upper = over.getContext("2d");
    upper.setTransform(1, 0, 0, 1, 0, 0);
    map.labels = placeLabels(upper, map, width, height);
    drawOver();
    root.dataset.milliseconds = (performance.now() - started).toFixed(1);
    root.dataset.zoom = (map.view.scale / map.fitScale).toFixed(2);
    root.dataset.ready = "true";
  }

  function drawOver() {
    const context = over.getContext("2d");
    context.setTransform(map.ratio, 0, 0, map.ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    paintLabels(context, map.labels, map.theme);
    for (const [i, line] of [[map.focus, 2.5], [map.hover, 2]]) {
      if (i < 0) continue;
      const [x, y] = onScreen(i);
      context.beginPath();
      context.arc(x, y, pointRadius(map.points, i, map.view.scale / map.fitScale, 1) + 4, 0, 7);
      context.lineWidth = line;
      context.strokeStyle = css(i === map.focus ? map.theme.accent : map.theme.text);
      context.stroke();
    }
    if (map.outline && map.outline.length > 2) {
      context.beginPath();
      for (let k = 0; k < map.outline.length; k += 2) {
        context.lineTo(map.outline[k] * map.view.scale + map.view.x, map.outline[k + 1] * map.view.scale + map.view.y);
      }
      context.closePath();
      context.fillStyle = css(map.theme.accent, 0.14);
      context.fill();
      context.setLineDash([5, 4]);
      context.lineWidth = 1.5;
      context.strokeStyle = css(map.theme.accent);
      context.stroke();
      context.setLineDash([]);
    }
  }

  // Where things are

  const onScreen = (i) => [map.points.x[i] * map.view.scale + map.view.x, map.points.y[i] * map.view.scale + map.view.y];
  const alive = (i) => (map.points.flags[i] & SHOWN) !== 0 && hasBit(map.kept, i);
  const place = (event) => {
    const box = over.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  function nearest(x, y) {
    const reach = 16 / map.view.scale, px = (x - map.view.x) / map.view.scale, py = (y - map.view.y) / map.view.scale;
    let best = -1, least = Infinity;
    eachWithin(map.points, px - reach, py - reach, px + reach, py + reach, (i) => {
      if (!alive(i)) return;
      const distance = Math.hypot(map.points.x[i] - px, map.points.y[i] - py) * map.view.scale - pointRadius(map.points, i, map.view.scale / map.fitScale, 1);
      if (distance < least && distance < 12) [best, least] = [i, distance];
    });
    if (best >= 0) return best;
    const label = map.labels.find((one) => one.concept >= 0 && x >= one.left && x <= one.right && y >= one.top && y <= one.bottom);
    return label ? label.concept : -1;
  }

  function zoomAt(x, y, factor) {
    const scale = Math.min(map.fitScale * 80, Math.max(map.fitScale * 0.7, map.view.scale * factor));
    const share = scale / map.view.scale;
    map.view = { x: x - (x - map.view.x) * share, y: y - (y - map.view.y) * share, scale };
    draw();
  }

  const showCard = conceptCard(map, card, () => ({ width, height, onScreen, alive }));

  function hoverOver(i) {
    if (i === map.hover) return;
    map.hover = i;
    over.style.cursor = i >= 0 && map.mode === "pan" ? "pointer" : map.mode === "pan" ? "grab" : "crosshair";
    showCard();
    drawOver();
  }

  function focusOn(i) {
    map.focus = i;
    map.hover = -1;
    if (i >= 0) live.textContent = `${map.points.names[i]}, ${describe(map.points, i)}${hasBit(map.selected, i) ? ", selected" : ""}`;
    showCard();
    drawOver();
  }

  // Selecting

  function choose(bits, add) {
    if (add && map.selected) bits.forEach((byte, k) => (bits[k] = byte | map.selected[k]));
    const count = countBits(bits);
    if (!count) return;
    map.selected = bits;
    live.textContent = `${count} concepts selected`;
    draw();
    map.send("lasso", textFromBits(bits));
  }

  function clearSelection() {
    if (!map.selected) return false;
    map.selected = null;
    draw();
    map.send("cleared", true);
    return true;
  }

  function setMode(mode) {
    map.mode = mode;
    for (const button of root.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    over.style.cursor = mode === "pan" ? "grab" : "crosshair";
  }

  const actions = {
    in: () => zoomAt(width / 2, height / 2, 1.5),
    out: () => zoomAt(width / 2, height / 2, 1 / 1.5),
    fit: () => (fit(), draw()),
  };
  on(find(".tools"), "click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.mode) setMode(button.dataset.mode);
    if (button?.dataset.act) actions[button.dataset.act]();
  });

  // The hand

  on(over, "pointerdown", (event) => {
    if (!map.points || event.button > 0) return;
    over.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    const [x, y] = place(event);
    const mode = event.shiftKey ? (event.altKey ? "box" : "lasso") : map.mode;
    map.drag = pointers.size > 1 ? null : { x, y, mode, moved: false, add: event.ctrlKey || event.metaKey };
    if (map.drag && mode !== "pan") map.outline = [(x - map.view.x) / map.view.scale, (y - map.view.y) / map.view.scale];
  });
  on(over, "pointermove", (event) => {
    if (!map.points) return;
    const [x, y] = place(event), before = pointers.get(event.pointerId);
    if (pointers.size === 2 && before) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
      const factor = Math.hypot(x - other[0], y - other[1]) / Math.max(1, Math.hypot(before[0] - other[0], before[1] - other[1]));
      pointers.set(event.pointerId, [x, y]);
      zoomAt(other[0], other[1], factor);
      return;
    }
    if (!map.drag || !before) return hoverOver(nearest(x, y));
    if (!map.drag.moved && Math.hypot(x - map.drag.x, y - map.drag.y) < 4) return;
    map.drag.moved = true;
    pointers.set(event.pointerId, [x, y]);
    if (map.drag.mode === "pan") {
      map.view = { ...map.view, x: map.view.x + x - before[0], y: map.view.y + y - before[1] };
      hoverOver(-1);
      draw();
      return;
    }
    const px = (x - map.view.x) / map.view.scale, py = (y - map.view.y) / map.view.scale;
    if (map.drag.mode === "lasso") map.outline.push(px, py);
    else map.outline = [map.outline[0], map.outline[1], px, map.outline[1], px, py, map.outline[0], py];
    drawOver();
  });
  const release = (event) => {
    const drag = map.drag, outline = map.outline;
    pointers.delete(event.pointerId);
    map.drag = map.outline = null;
    if (!drag || !map.points) return;
    if (!drag.moved) {
      const i = nearest(...place(event));
      if (i >= 0 && event.type === "pointerup") map.send("opened", i);
    } else if (outline && outline.length >= 6 && event.type === "pointerup") {
      choose(withinOutline(map.points, outline, alive), drag.add);
    }
    drawOver();
  };
  on(over, "pointerup", release);
  on(over, "pointercancel", release);
  on(over, "pointerleave", () => !map.drag && hoverOver(-1));
  on(over, "wheel", (event) => {
    if (!map.points) return;
    event.preventDefault();
    zoomAt(...place(event), Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)));
  }, { passive: false });

  // The keyboard

  const pan = (x, y) => ((map.view = { ...map.view, x: map.view.x + x, y: map.view.y + y }), draw());
  const keys = {
    ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0), ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
    "+": actions.in, "=": actions.in, "-": actions.out, 0: actions.fit,
    Enter: () => map.focus >= 0 && (map.send("opened", map.focus), true),
    " ": () => {
      if (map.focus < 0) return false;
      const bits = map.selected ? map.selected.slice() : new Uint8Array((map.points.n + 7) >> 3);
      setBit(bits, map.focus, !hasBit(bits, map.focus));
      if (countBits(bits)) choose(bits, false);
      else clearSelection();
    },
    Escape: () => {
      if (map.outline) return (map.drag = map.outline = null), drawOver();
      if (map.focus >= 0) return focusOn(-1);
      return clearSelection();
    },
  };
  on(over, "keydown", (event) => {
    if (!map.points || event.ctrlKey || event.metaKey || event.altKey) return;
    let done;
    if (event.key === "Tab") {
      const stops = map.labels.filter((label) => label.concept >= 0).map((label) => label.concept);
      const at = stops.indexOf(map.focus), next = event.shiftKey ? (at < 0 ? -1 : at - 1) : at + 1;
      done = next >= 0 && next < stops.length;
      focusOn(done ? stops[next] : -1);
    } else if (keys[event.key]) {
      done = keys[event.key]() !== false;
    }
    if (done) {
      event.preventDefault();
      event.stopPropagation();
    }
  });
  on(over, "blur", () => focusOn(-1));

  setMode("pan");
  map.stop = () => {
    if (map.points && width) globalThis[LAST] = { n: map.points.n, width, view: map.view };
    listeners.abort();
    observer.disconnect();
    cancelAnimationFrame(frame);
    showCard.stop();
  };
  return map;
}
