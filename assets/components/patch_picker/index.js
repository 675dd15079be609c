// A picture whose patches can be chosen: by mouse, or by arrow keys and Enter. A heat-map darkens what a concept does not respond to.

const instances = new WeakMap();

function build(root) {
  root.replaceChildren();
  const frame = document.createElement("div");
  frame.className = "frame";
  const picture = document.createElement("img");
  const shade = document.createElement("canvas");
  shade.setAttribute("aria-hidden", "true");
  const grid = document.createElement("div");
  grid.className = "grid";
  frame.append(picture, shade, grid);
  const controls = document.createElement("label");
  controls.className = "controls";
  const caption = document.createElement("span");
  caption.textContent = "Darken outside";
  const opacity = document.createElement("input");
  opacity.type = "range";
  opacity.min = "0";
  opacity.max = "100";
  const amount = document.createElement("output");
  controls.append(caption, opacity, amount);
  root.append(frame, controls);
  return { root, frame, picture, shade, grid, controls, opacity, amount, size: "", cells: [], focused: 0, darkness: null };
}

function drawShade(view, data) {
  const { rows, columns, heat } = data;
  view.shade.style.display = heat ? "" : "none";
  view.controls.style.display = heat ? "" : "none";
  if (!heat) return;
  view.shade.width = columns;
  view.shade.height = rows;
  const context = view.shade.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  heat.forEach((share, index) => {
    pixels.data[4 * index + 3] = Math.round(255 * (1 - share) * view.darkness);
  });
  context.putImageData(pixels, 0, 0);
  view.amount.textContent = `${Math.round(100 * view.darkness)} %`;
}

function cellLabel(data, index) {
  const row = Math.floor(index / data.columns) + 1;
  const column = (index % data.columns) + 1;
  const heat = data.heat ? `, response ${Math.round(100 * data.heat[index])} % of the peak` : "";
  return `Row ${row}, column ${column}${heat}`;
}

function buildCells(view, data, choose) {
  const size = `${data.rows}x${data.columns}`;
  if (view.size === size) return;
  view.size = size;
  view.grid.replaceChildren();
  view.cells = [];
  view.grid.style.gridTemplateColumns = `repeat(${data.columns}, 1fr)`;
  view.grid.style.gridTemplateRows = `repeat(${data.rows}, 1fr)`;
  for (let row = 0; row < data.rows; row += 1) {
    const line = document.createElement("div");
    line.setAttribute("role", "row");
    line.className = "line";
    for (let column = 0; column < data.columns; column += 1) {
      const index = row * data.columns + column;
      const cell = document.createElement("button");
      cell.type = "button";
      cell.setAttribute("role", "gridcell");
      cell.tabIndex = -1;
      cell.onclick = () => choose(index);
      cell.onfocus = () => {
        view.focused = index;
      };
      line.append(cell);
      view.cells.push(cell);
    }
    view.grid.append(line);
  }
}

function markCells(view, data) {
  const chosen = data.chosen ?? -1;
  view.focused = chosen >= 0 ? chosen : Math.min(view.focused, view.cells.length - 1);
  view.cells.forEach((cell, index) => {
    cell.setAttribute("aria-label", cellLabel(data, index));
    cell.setAttribute("aria-selected", String(index === chosen));
    cell.classList.toggle("chosen", index === chosen);
    cell.tabIndex = index === view.focused ? 0 : -1;
  });
}

function moveFocus(view, data, event) {
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const step = steps[event.key];
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  const row = Math.floor(view.focused / data.columns) + step[0];
  const column = (view.focused % data.columns) + step[1];
  if (row < 0 || column < 0 || row >= data.rows || column >= data.columns) return;
  view.cells[view.focused].tabIndex = -1;
  view.focused = row * data.columns + column;
  view.cells[view.focused].tabIndex = 0;
  view.cells[view.focused].focus();
}

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  const root = parentElement.querySelector(".picker");
  if (!root || !data) return;
  let view = instances.get(parentElement);
  if (!view || view.root !== root) {
    view = build(root);
    instances.set(parentElement, view);
  }
  if (view.darkness === null) view.darkness = data.opacity;
  // Streamlit remembers the last state, so a second click on the same patch must differ to be heard: it lets the patch go.
  const choose = (index) => setStateValue("patch", view.data.chosen === index ? -1 : index);
  view.data = data;
  if (view.picture.src !== data.picture) view.picture.src = data.picture;
  view.picture.alt = data.alt;
  view.grid.style.display = data.rows ? "" : "none";
  if (data.rows) {
    view.grid.setAttribute("role", "grid");
    view.grid.setAttribute("aria-label", "Patches of the image. Arrow keys move, Enter shows the concepts of a patch.");
    buildCells(view, data, choose);
    markCells(view, data);
    view.grid.onkeydown = (event) => {
      if (event.key === "Escape" && (view.data.chosen ?? -1) >= 0) {
        event.stopPropagation();
        setStateValue("patch", -1);
      } else {
        moveFocus(view, view.data, event);
      }
    };
  }
  view.opacity.value = String(Math.round(100 * view.darkness));
  view.opacity.oninput = () => {
    view.darkness = Number(view.opacity.value) / 100;
    drawShade(view, view.data);
  };
  drawShade(view, data);
}
