// What one sees of the network: pictures, the bars of its answer, the units of its hidden layers.

const MOST_BARS = 12; // classes that all have a bar; of more, those that are the most probable
const MOST_UNITS = 256;

const part = (id) => document.getElementById(`draw-${id}`);
// What isn't quite 0 or all of it doesn't look like that.
const percent = (p) => {
  const rounded = 0 < p && p < 0.0005 ? "<0.1" : 0.9995 < p && p < 1 ? ">99.9" : (100 * p).toFixed(1);
  return `${rounded}\u00a0%`;
};
const signed = (x) => x.toFixed(2).replace("-", "−");
const strongest = (values) => values.reduce((best, x, k) => (x > values[best] ? k : best), 0);

function add(parent, tag, text, className) {
  const child = parent.appendChild(document.createElement(tag));
  if (text !== undefined) child.textContent = text; // never HTML: names are anybody's
  if (className) child.className = className;
  return child;
}

// Fill a canvas, pixel by pixel: color(pixel) gives red, green and blue, 0 to 255.
function fill(canvas, { width, height }, color) {
  Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++)
    image.data.set([...color(pixel), 255], 4 * pixel);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// A row as the picture that it is.
function showPicture(canvas, model, row) {
  const byte = (i) => ((row[i] - model.low) / (model.high - model.low || 1)) * 255;
  fill(canvas, model, (pixel) => {
    const first = byte(pixel * model.channels);
    return model.channels === 1
      ? [first, first, first]
      : [first, byte(pixel * 3 + 1), byte(pixel * 3 + 2)];
  });
}

// A number for each pixel: above 0 in the color `for`, below 0 in `against`, the largest at its
// strongest. A pixel's three channels are added up.
function showSigned(canvas, model, values, colors) {
  const { width, height, channels } = model;
  const sums = new Float64Array(width * height);
  values.forEach((value, i) => (sums[Math.floor(i / channels)] += value));
  const most = sums.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;
  fill(canvas, model, (pixel) => {
    const t = sums[pixel] / most;
    const hue = t > 0 ? colors.for : colors.against;
    return colors.card.map((ground, c) => ground + Math.abs(t) * (hue[c] - ground));
  });
}

// The page's colors as they are now, light or dark: [red, green, blue] by name.
function readColors() {
  const style = getComputedStyle(document.getElementById("draw"));
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const read = (name) => {
    context.fillStyle = style.getPropertyValue(`--${name}`).trim();
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  return { card: read("card"), for: read("for"), against: read("against") };
}

// The bars of probability. Each is a button: it asks what speaks for its class.
class Bars {
  constructor(classes, ask) {
    this.classes = classes;
    this.sorted = classes.length > MOST_BARS;
    const count = this.sorted ? 10 : classes.length;
    this.bars = Array.from({ length: count }, () => {
      const button = add(part("bars"), "button");
      button.type = "button";
      const name = add(button, "span", "", "draw-name");
      const fill = add(add(button, "span", undefined, "draw-track"), "i");
      const bar = { button, name, fill, percent: add(button, "span", "", "draw-percent") };
      button.addEventListener("click", () => ask(bar.k));
      return bar;
    });
    const most = this.sorted
      ? `The 10 most probable of ${classes.length.toLocaleString("en")}. `
      : "";
    part("bars-note").textContent = `${most}Press one to see what speaks for it.`;
  }

  show(probabilities, asked) {
    const order = [...probabilities.keys()];
    const first = strongest(probabilities);
    if (this.sorted) order.sort((a, b) => probabilities[b] - probabilities[a]);
    this.bars.forEach((bar, i) => {
      const k = (bar.k = order[i]);
      if (bar.name.textContent !== this.classes[k])
        bar.name.textContent = bar.name.title = this.classes[k];
      bar.fill.style.width = `${100 * probabilities[k]}%`;
      bar.percent.textContent = percent(probabilities[k]);
      bar.button.classList.toggle("first", k === first);
      bar.button.setAttribute("aria-pressed", k === asked);
    });
  }
}

// A hidden layer: a cell for each unit, and what the chosen one looks for.
class Layer {
  constructor(page, index) {
    Object.assign(this, { page, index });
    const { layers } = page.network;
    const count = layers[index].outputs;
    this.units = unitsToShow(layers[index + 1], count);
    this.root = part("layer").content.firstElementChild.cloneNode(true);
    part("layers").append(this.root);
    const find = (selector) => this.root.querySelector(selector);
    find("h3").textContent = `Hidden layer ${index + 1}`;
    const shown =
      count > MOST_UNITS
        ? `${MOST_UNITS} of its ${count.toLocaleString("en")} units, those with the largest weights to the next layer`
        : `Its ${count} ${count === 1 ? "unit" : "units"}`;
    find(".draw-layer-note").textContent =
      `${shown}. The bluer a cell, the more active its unit` +
      `${page.canBeNegative ? ", and orange is negative" : ""}. Choose one to see what it looks for.`;
    this.grid = find(".draw-units");
    this.grid.setAttribute(
      "aria-label",
      `Units of hidden layer ${index + 1}; arrow keys move, Enter chooses`,
    );
    this.columns = Math.min(16, Math.ceil(Math.sqrt(this.units.length)));
    this.grid.style.gridTemplateColumns = `repeat(${this.columns}, 1fr)`;
    this.grid.style.flexBasis = `${2 * this.columns}rem`;
    this.cells = this.units.map((unit, place) => {
      const cell = add(this.grid, "button");
      Object.assign(cell, {
        type: "button",
        tabIndex: place ? -1 : 0,
        ariaLabel: `Unit ${unit}`,
      });
      cell.addEventListener("click", () => this.choose(place));
      return cell;
    });
    this.grid.addEventListener("keydown", (event) => this.move(event));
    find(".draw-stronger").addEventListener("click", () => this.step(-1));
    find(".draw-weaker").addEventListener("click", () => this.step(1));
    this.find = find;
  }

  show({ A, Z }) {
    this.activations = A[this.index + 1];
    const most = this.activations.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;
    this.units.forEach((unit, place) => {
      const lit = this.activations[unit] / most;
      this.cells[place].style.setProperty("--lit", Math.abs(lit).toFixed(3));
      this.cells[place].style.setProperty("--hue", lit < 0 ? "var(--against)" : "var(--accent)");
    });
    if (this.chosen === undefined) this.choose(this.ranked()[0]);
    this.showActivation();
  }

  // The cells' places, the most active first.
  ranked() {
    const strength = (place) => Math.abs(this.activations[this.units[place]]);
    return [...this.units.keys()].sort((a, b) => strength(b) - strength(a));
  }

  step(by) {
    const ranked = this.ranked();
    const rank = ranked.indexOf(this.chosen) + by;
    this.choose(ranked[Math.min(Math.max(rank, 0), ranked.length - 1)]);
  }

  // Only one cell is reached by Tab; the arrow keys lead to the others.
  move(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns };
    const place = this.cells.indexOf(document.activeElement);
    const next = { Home: 0, End: this.cells.length - 1 }[event.key] ?? place + steps[event.key];
    if (place < 0 || !(next >= 0 && next < this.cells.length)) return;
    event.preventDefault();
    this.makeReachable(next);
    this.cells[next].focus();
  }

  makeReachable(place) {
    this.cells.forEach((cell, i) => (cell.tabIndex = i === place ? 0 : -1));
  }

  choose(place) {
    this.chosen = place;
    this.makeReachable(place);
    this.cells.forEach((cell, i) => cell.setAttribute("aria-pressed", i === place));
    this.showUnit();
    this.showActivation();
  }

  showActivation() {
    const unit = this.units[this.chosen];
    this.find("h4").textContent = `Unit ${unit}: activation ${signed(this.activations[unit])}`;
  }

  // What the chosen unit looks for, and what it says to the next layer.
  showUnit() {
    const { network, model, colors, inkSign, pixel } = this.page;
    const unit = this.units[this.chosen];
    const weights = network.weightsOf(this.index, unit).map((w) => w * inkSign);
    const canvas = this.find("canvas");
    showSigned(canvas, model, weights, colors);
    const what =
      this.index === 0
        ? `Its incoming weights, one for each ${pixel}`
        : "Its weights, multiplied back through the layers before it as if they had no activations";
    this.find(".draw-looks-for").textContent =
      `${what}: ink on blue raises it, ink on orange lowers it.`;
    canvas.setAttribute("aria-label", `Unit ${unit}: ${what.toLowerCase()}, as a picture`);
    const next = network.layers[this.index + 1];
    const outgoing = next.W.slice(unit * next.outputs, (unit + 1) * next.outputs);
    const isLast = this.index === network.layers.length - 2;
    const name = (k) => (isLast ? model.classes[k] : `unit ${k + 1}`);
    const [most, least] = [strongest(outgoing), strongest(outgoing.map((w) => -w))];
    const says = [];
    if (outgoing[most] > 0) says.push(`most for ${name(most)} (weight ${signed(outgoing[most])})`);
    if (outgoing[least] < 0) says.push(`most against ${name(least)} (${signed(outgoing[least])})`);
    const where = isLast ? "" : ", both in the next layer";
    this.find(".draw-tells").textContent = `When active, it speaks ${says.join(" and ")}${where}.`;
  }
}

// Of many units, those with the largest weights to the next layer, in the layer's order.
function unitsToShow({ W, outputs }, count) {
  const units = [...Array(count).keys()];
  if (count <= MOST_UNITS) return units;
  const size = (u) => W.subarray(u * outputs, (u + 1) * outputs).reduce((sum, w) => sum + w * w, 0);
  const sizes = units.map(size);
  return units
    .sort((a, b) => sizes[b] - sizes[a])
    .slice(0, MOST_UNITS)
    .sort((a, b) => a - b);
}
