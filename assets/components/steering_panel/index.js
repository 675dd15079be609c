// The steering panel: a linear head is linear, so what a slider does to every class is (multiplier − position) · unit, and the browser can
// show it while the thumb moves. The server hears of it once, on release, and its scores then replace those worked out here.

const SLOTS = 8; // classes shown
const STEP = 0.05;
const DOUBLE_CLICK = 260; // ms; a mere click on the track waits so long, in case it is the first half of a double click
const DISAGREEMENT = 1e-4;
const panels = new WeakMap();

export default function (component) {
  const { data, parentElement } = component;
  let panel = panels.get(parentElement);
  if (!panel) {
    panel = new Panel(parentElement.querySelector(".steering"));
    panels.set(parentElement, panel);
  }
  panel.send = component.setTriggerValue;
  panel.receive(data);
  return () => panels.delete(parentElement);
}

class Panel {
  constructor(root) {
    this.root = root;
    this.changes = new Map(); // row -> multiplier that is not committed yet
    this.expected = null; // logits that the server should come to after a commit
    this.waiting = null; // news that came while the thumb was held
    this.held = null;
    root.replaceChildren(
      make("div", "scores", make("p", "verdict"), make("ol", "classes"), make("p", "legend")),
      make("div", "rows"),
      make("p", "sum"),
      make("div", "status", make("span", "words"), button("apply", "Apply", () => this.commit()), button("back", "Put back", () => this.putBack())),
    );
    for (const name of ["verdict", "classes", "legend", "rows", "sum", "status", "words"]) this[name] = root.querySelector("." + name);
    this.status.setAttribute("role", "status");
  }

  // News from the server

  receive(data) {
    if (!data) return;
    if (this.held !== null) this.waiting = data;
    else if (data.stamp !== this.data?.stamp) this.load(data);
  }

  load(data) {
    const news = { ...data, unit: floats(data.unit), logits: floats(data.logits), before: floats(data.before), now: {} };
    for (const [row, values] of Object.entries(data.now)) news.now[row] = floats(values);
    const kept = this.data?.item === news.item ? this.rows.scrollTop : 0;
    this.disagreement = this.compare(news);
    this.data = news;
    this.changes.clear();
    this.probabilitiesBefore = softmax(news.before);
    this.current = Float64Array.from(news.logits);
    this.extent = 1e-9;
    for (let row = 0; row < news.rows.length; row++)
      this.extent = Math.max(this.extent, Math.abs(this.worth(row, 1)), Math.abs(this.worth(row, news.rows[row].position)));
    this.extent *= 1.25;
    this.end = 0;
    this.buildRows();
    this.chooseSlots();
    this.paint();
    this.rows.scrollTop = kept;
  }

  /** How far the server's scores are from those that were shown; 0 where nothing was expected. */
  compare(news) {
    const expected = this.expected;
    this.expected = null;
    if (!expected || expected.item !== news.item || expected.logits.length !== news.logits.length) return 0;
    return expected.logits.reduce((most, value, index) => Math.max(most, Math.abs(value - news.logits[index])), 0);
  }

  // Sums

  /** What a row adds to class `column` when its slider stands at `multiplier`. */
  worth(row, multiplier, column = this.data.target) {
    const { unit, classes, now, rows } = this.data;
    if (multiplier === rows[row].position && now[row]) return now[row][column];
    return multiplier * unit[row * classes.length + column];
  }

  recompute() {
    const { logits, unit, classes, rows, now, scope, target } = this.data;
    const count = classes.length;
    this.current.set(logits);
    for (const [row, multiplier] of this.changes) {
      const offset = row * count;
      const position = rows[row].position;
      const own = now[row];
      if (scope === "class") {
        this.current[target] += multiplier * unit[offset + target] - (own ? own[target] : position * unit[offset + target]);
      } else if (own) {
        for (let column = 0; column < count; column++) this.current[column] += multiplier * unit[offset + column] - own[column];
      } else {
        const step = multiplier - position;
        for (let column = 0; column < count; column++) this.current[column] += step * unit[offset + column];
      }
    }
  }

  // Drawing

  buildRows() {
    const { rows } = this.data;
    this.sliders = rows.map((row, index) => this.buildRow(row, index));
    this.rows.replaceChildren(...this.sliders.map((slider) => slider.element));
    if (!rows.length) this.rows.append(make("p", "nothing", "No concept is active in this image."));
  }

  buildRow(row, index) {
    const input = make("input");
    Object.assign(input, { type: "range", min: "0", max: String(Math.max(this.data.end, row.position)), step: String(STEP) });
    input.value = String(row.position);
    input.setAttribute("aria-label", `Strength of ${row.name}`);
    const name = button("name", row.name, () => this.send("open", row.concept));
    name.title = row.silent ? `${row.name}: silent in this image. Open its page` : `Open the page of ${row.name}`;
    if (Math.abs(row.position - 1) > 1e-9 && !row.silent) name.append(make("span", "edited", " ✎"));
    const fill = make("i", "fill");
    const share = make("div", "share", fill);
    const track = make("div", "track", input);
    track.style.setProperty("--one", String(Math.min(1, (row.silent ? 0 : 1) / Number(input.max))));
    const slider = { input, fill, worth: make("span", "worth"), value: make("output", "value"), element: null };
    slider.element = make("div", "row" + (row.silent ? " silent" : ""), name, share, slider.worth, track, slider.value);
    share.onclick = slider.worth.onclick = () => input.focus();
    this.listen(slider, index);
    return slider;
  }

  listen({ input, element }, index) {
    let from = null;
    input.onpointerdown = (event) => {
      from = [event.clientX, event.clientY, false];
      this.held = index;
      clearTimeout(this.later);
    };
    input.onpointermove = (event) => {
      if (from && Math.hypot(event.clientX - from[0], event.clientY - from[1]) > 4) from[2] = true;
    };
    input.onpointerup = input.onpointercancel = () => setTimeout(() => this.letGo(), 0);
    input.oninput = () => this.move(index, Number(input.value));
    input.onchange = () => {
      if (!from) return; // a key: Enter decides
      const dragged = from[2];
      from = null;
      if (this.changes.has(index)) this.later = setTimeout(() => this.commit(), dragged ? 0 : DOUBLE_CLICK);
    };
    input.onkeydown = (event) => {
      from = null;
      if (event.key === "Enter") this.commit();
      else if (event.key === "Escape") this.putBack();
      else if (event.key === "0") this.move(index, 0), this.commit();
      else return;
      event.preventDefault();
      event.stopPropagation();
    };
    element.ondblclick = (event) => {
      if (event.target.classList.contains("name")) return;
      clearTimeout(this.later);
      this.move(index, this.data.rows[index].silent ? 0 : 1);
      this.commit();
    };
  }

  letGo() {
    this.held = null;
    if (!this.waiting) return;
    const news = this.waiting;
    this.waiting = null;
    if (!this.changes.size) this.receive(news);
  }

  move(row, multiplier) {
    if (Math.abs(multiplier - this.data.rows[row].position) < 1e-9) this.changes.delete(row);
    else this.changes.set(row, multiplier);
    this.sliders[row].input.value = String(multiplier);
    this.disagreement = 0;
    this.recompute();
    this.paint(row);
  }

  putBack() {
    clearTimeout(this.later);
    const moved = [...this.changes.keys()];
    this.changes.clear();
    for (const row of moved) this.sliders[row].input.value = String(this.data.rows[row].position);
    this.recompute();
    this.chooseSlots();
    this.paint();
  }

  commit() {
    if (!this.changes.size) return;
    const { item, stamp, scope, classes, target, rows } = this.data;
    const changes = [...this.changes].map(([row, multiplier]) => [rows[row].concept, multiplier]);
    this.expected = { item, logits: Float64Array.from(this.current) };
    this.send("commit", { item, stamp, scope, target: classes[target], changes });
    this.words.textContent = "Measuring on all held-out images …";
    this.status.className = "status busy";
  }

  /** Shows the scores as they are now; with `row`, only that row's slider is drawn again. */
  paint(row) {
    const probabilities = softmax(this.current);
    const best = largest(this.current);
    const { classes, truth } = this.data;
    this.takeRisers(probabilities);
    this.widen(probabilities);
    this.slots.forEach((column, place) => this.paintClass(this.lines[place], column, probabilities[column], column === best));
    const verdict = `Now: ${classes[best]}, ${percent(probabilities[best])}`;
    this.verdict.textContent = truth === null ? verdict : `${verdict} ${best === truth ? "✓ right" : "✗ wrong"}`;
    if (row === undefined) this.sliders.forEach((_, index) => this.paintRow(index, classes[best], probabilities[best]));
    else this.paintRow(row, classes[best], probabilities[best]);
    this.paintSum();
    this.paintStatus();
  }

  /** The bars end at the first of 10, 25, 50 and 100 % that holds them all; while a thumb moves they only ever grow longer. */
  widen(probabilities) {
    const most = Math.max(...this.slots.map((column) => Math.max(probabilities[column], this.probabilitiesBefore[column])));
    const end = [0.1, 0.25, 0.5].find((candidate) => candidate >= most && candidate >= this.end) ?? 1;
    if (end === this.end) return;
    this.end = end;
    this.legend.textContent = `Bars end at ${percent(end)}. Upright mark: before your edits. Right: change of the score.`;
  }

  paintClass(line, column, probability, predicted) {
    const { classes, truth, target } = this.data;
    if (line.column !== column) {
      line.column = column;
      line.name.textContent = classes[column];
      line.name.title = `Explain the score of ${classes[column]}`;
      line.element.classList.toggle("truth", column === truth);
      line.element.classList.toggle("target", column === target);
    }
    const before = this.probabilitiesBefore[column];
    line.element.classList.toggle("predicted", predicted);
    line.fill.style.transform = `scaleX(${(probability / this.end).toFixed(4)})`;
    line.mark.style.left = `${((100 * before) / this.end).toFixed(2)}%`;
    line.mark.hidden = Math.abs(before - probability) < 5e-4;
    line.value.textContent = percent(probability);
    const change = signed(this.current[column] - this.data.before[column]);
    line.change.textContent = change === "0" ? "" : change;
    line.bar.title = `${percent(before)} before the edits, ${percent(probability)} now; score ${this.current[column].toFixed(2)}`;
  }

  paintRow(index, says, probability) {
    const row = this.data.rows[index];
    const slider = this.sliders[index];
    const multiplier = this.changes.get(index) ?? row.position;
    const worth = this.worth(index, multiplier);
    const size = Math.min(1, Math.abs(worth) / this.extent) / 2;
    slider.fill.style.transform = `scaleX(${size.toFixed(4)})`;
    slider.fill.className = "fill " + (worth < 0 ? "against" : "for");
    slider.worth.textContent = signed(worth);
    const shown = row.silent ? (multiplier * row.strength).toFixed(2) : `${multiplier.toFixed(2)} ×`;
    slider.value.textContent = shown;
    slider.element.classList.toggle("changed", this.changes.has(index));
    slider.input.style.setProperty("--at", String(multiplier / Number(slider.input.max)));
    slider.input.setAttribute(
      "aria-valuetext",
      `${row.silent ? `activation ${shown}` : `${multiplier.toFixed(2)} times`}, adds ${signed(worth)} to ${this.data.classes[this.data.target]}; ` +
        `the model says ${says}, ${percent(probability)}`,
    );
  }

  paintSum() {
    const { rest, bias, more, classes, target, rows } = this.data;
    const parts = [`${rows.length} concepts ${signed(this.current[target] - bias - rest)}`];
    if (more) parts.push(`${more} others ${signed(rest)}`);
    if (Math.abs(bias) >= 0.005) parts.push(`class bias ${signed(bias)}`);
    this.sum.textContent = `Score of “${classes[target]}”: ${parts.join(", ")} = ${signed(this.current[target])}`;
  }

  paintStatus() {
    this.status.className = "status";
    if (this.changes.size) {
      this.words.textContent = "Not applied yet. Enter applies, Esc puts back.";
      this.status.classList.add("pending");
    } else if (this.disagreement > DISAGREEMENT) {
      this.words.textContent = `⚠ The server's scores differ from the preview by ${this.disagreement.toPrecision(2)}. What you see is the server's.`;
      this.status.classList.add("differs");
    } else this.words.textContent = this.data.rows.length ? "Drag a slider. By keyboard: arrows move, 0 ablates, Enter applies, Esc puts back." : "";
  }

  // Which classes are shown

  chooseSlots() {
    const { classes, truth, target, before } = this.data;
    this.pinned = new Set([truth, target, largest(before), largest(this.data.logits)].filter((column) => column !== null));
    const order = topOf(this.current, SLOTS + this.pinned.size);
    const rest = order.filter((column) => !this.pinned.has(column)).slice(0, Math.max(0, Math.min(SLOTS, classes.length) - this.pinned.size));
    this.slots = [...this.pinned, ...rest].sort((a, b) => this.current[b] - this.current[a]);
    this.lines = this.slots.map(() => this.buildLine());
    this.classes.replaceChildren(...this.lines.map((line) => line.element));
  }

  /** A class that rises above the least of those shown takes its place, so that no winner is out of sight. */
  takeRisers(probabilities) {
    const best = largest(probabilities);
    if (this.slots.includes(best)) return;
    let least = -1;
    this.slots.forEach((column, place) => {
      if (!this.pinned.has(column) && (least < 0 || probabilities[column] < probabilities[this.slots[least]])) least = place;
    });
    if (least >= 0) this.slots[least] = best;
  }

  buildLine() {
    const line = { column: null, fill: make("i", "fill"), mark: make("i", "mark"), value: make("span", "value"), change: make("span", "change") };
    line.name = button("name", "", () => this.send("explain", this.data.classes[line.column]));
    line.bar = make("div", "bar", line.fill, line.mark);
    line.element = make("li", "class", line.name, line.bar, line.value, line.change);
    return line;
  }
}

function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function button(className, text, onclick) {
  const element = make("button", className, text);
  element.type = "button";
  element.onclick = onclick;
  return element;
}

/** Little-endian float32 numbers from base64. */
function floats(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

function softmax(logits) {
  const most = logits[largest(logits)];
  const result = new Float64Array(logits.length);
  let total = 0;
  for (let index = 0; index < logits.length; index++) total += result[index] = Math.exp(logits[index] - most);
  for (let index = 0; index < logits.length; index++) result[index] /= total;
  return result;
}

function largest(values) {
  let best = 0;
  for (let index = 1; index < values.length; index++) if (values[index] > values[best]) best = index;
  return best;
}

function topOf(values, count) {
  return Array.from(values.keys())
    .sort((a, b) => values[b] - values[a])
    .slice(0, count);
}

function signed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? "0" : (value > 0 ? "+" : "−") + text;
}

function percent(share) {
  return share > 0 && share < 0.005 ? "< 1%" : `${Math.round(100 * share)}%`;
}
