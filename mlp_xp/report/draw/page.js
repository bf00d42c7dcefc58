// The page: every stroke goes from ink.js through network.js to shown.js.

class Page {
  constructor(model) {
    this.model = model;
    this.network = new Network(model);
    this.ink = new Ink(model, part("canvas"));
    this.inkSign = model.darkInk ? -1 : 1; // the direction in which ink changes a value
    this.pixel = model.mean ? "standardized pixel" : "pixel";
    this.canBeNegative = !["relu", "sigmoid"].includes(model.activation);
    this.colors = readColors();
    this.asked = null; // a class by its bar; null is the answer's
    this.timesInk = false;
    this.bars = new Bars(model.classes, (k) => {
      this.asked = this.asked === k ? null : k;
      this.update();
    });
    this.layers = this.network.layers.slice(0, -1).map((_, index) => new Layer(this, index));
    this.addExamples();
    this.pen = new Pen(this);
    this.listen();
    // A page that shows something from the start explains itself; the first stroke clears it.
    this.ink.start(model.examples[0] ?? null);
    this.isUntouched = true;
    this.update();
  }

  addExamples() {
    part("start").hidden = !this.model.examples.length;
    const longest = Math.max(...this.model.examples.map(({ label }) => label.length));
    if (longest > 4) part("examples").style.setProperty("--columns", 3);
    for (const example of this.model.examples) {
      example.values = float32(example.values);
      const button = add(part("examples"), "button");
      Object.assign(button, { type: "button", title: example.label });
      button.setAttribute("aria-label", `Start from a picture of ${example.label}`);
      const canvas = add(button, "canvas");
      showPicture(canvas, this.model, example.values);
      add(button, "span", example.label);
      button.addEventListener("click", () => this.start(example));
    }
  }

  listen() {
    part("undo").addEventListener("click", () => this.undo());
    part("clear").addEventListener("click", () => this.start(null));
    part("eraser").addEventListener("click", () => this.toggleEraser());
    part("times-ink").addEventListener("click", () => {
      this.timesInk = !this.timesInk;
      part("times-ink").setAttribute("aria-pressed", this.timesInk);
      this.update();
    });
    const repaint = () => {
      this.colors = readColors();
      this.layers.forEach((layer) => layer.showUnit());
      this.update();
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    new MutationObserver(repaint).observe(document.documentElement, {
      attributeFilter: ["data-theme"],
    });
  }

  start(example) {
    this.isUntouched = false;
    this.pen.lift();
    this.ink.start(example);
    this.update();
  }

  undo() {
    this.pen.lift();
    this.ink.undo();
    this.update();
  }

  toggleEraser() {
    this.erases = !this.erases;
    part("eraser").setAttribute("aria-pressed", this.erases);
  }

  begin(point, erases) {
    if (this.isUntouched) this.start(null);
    this.ink.begin(point, erases || Boolean(this.erases));
    this.updateSoon();
  }

  extend(point) {
    this.ink.extend(point);
    this.updateSoon();
  }

  // Once a frame, however many points a fast pen reports.
  updateSoon() {
    this.frame ??= requestAnimationFrame(() => this.update());
  }

  update() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    const row = (this.row = this.ink.row());
    const pass = this.network.forward(row);
    showPicture(part("seen"), this.model, row);
    part("seen-note").textContent = this.seenNote();
    const answer = strongest(pass.probabilities);
    const asked = this.asked ?? answer;
    this.showAnswer(pass.probabilities, answer);
    this.bars.show(pass.probabilities, this.asked);
    this.showGradient(pass, asked);
    this.layers.forEach((layer) => layer.show(pass));
  }

  seenNote() {
    const { height, width } = this.model;
    const { example, strokes } = this.ink.current();
    const size = `${height} × ${width} pixels`;
    if (example)
      return strokes.length
        ? `The example with your strokes, ${size}.`
        : `The example as it is, ${size}.`;
    if (!strokes.length) return `Nothing but paper, ${size}.`;
    const [tall, wide] = [height, width].map((side) => Math.round(this.model.filled * side));
    return (
      `Your drawing, scaled to fit ${tall} × ${wide} pixels, as the examples do, and placed with its ` +
      `center of mass in the middle of ${height} × ${width}, or as near as nothing is cut off.`
    );
  }

  showAnswer(probabilities, answer) {
    const { classes, manyLabels } = this.model;
    const { example, strokes } = this.ink.current();
    const held = manyLabels
      ? [...probabilities.keys()].filter((k) => probabilities[k] > 0.5)
      : [answer];
    const names = held.map((k) => classes[k]).join(", ") || "no label";
    const root = part("answer");
    root.replaceChildren();
    part("quick").textContent = `→ ${names}`;
    if (!example && !strokes.length) root.append("Even of an empty picture it says ");
    add(root, "strong", names, names.length > 6 ? "long" : "");
    const sure = manyLabels ? "" : ` with ${percent(probabilities[answer])} probability`;
    root.append(sure, example && !strokes.length ? `. The picture shows ${example.label}.` : "");
    this.say(`The network says ${names}${sure}.`);
  }

  // Read aloud once the pen rests, not with every move.
  say(text) {
    clearTimeout(this.saying);
    this.saying = setTimeout(() => (part("spoken").textContent = text), 500);
  }

  showGradient(pass, k) {
    const name = this.model.classes[k];
    let gradient = this.network.gradient(pass, k);
    let note;
    if (this.timesInk) {
      const paper = this.network.prepare(new Float64Array(this.row.length).fill(this.ink.paper));
      gradient = gradient.map((slope, i) => slope * (pass.A[0][i] - paper[i]));
      note = `That gradient times the ink: blue ink speaks for ${name}, orange ink against it.`;
    } else {
      gradient = gradient.map((slope) => slope * this.inkSign);
      note =
        `The gradient of the logit of ${name}, its score before it becomes a probability, in each ${this.pixel}: more ` +
        "ink on blue would speak for it, on orange against it.";
    }
    showSigned(part("gradient"), this.model, gradient, this.colors);
    part("gradient").setAttribute("aria-label", `What speaks for ${name}, as a picture`);
    part("asked").textContent = name;
    part("gradient-note").textContent = note;
  }
}

function open() {
  const page = new Page(JSON.parse(part("model").textContent));
  const network = page.network;
  // For tests and for the curious, in the browser's console. Rows are as the data has them:
  // predict([row, ...]) the probabilities of each; gradient(row, k) that of logit k in what the first
  // layer reads; seen() the row that is on the page; update() what a stroke does, at once.
  window.mlp_xp = Object.freeze({
    predict: (rows) => rows.map((row) => [...network.forward(row).probabilities]),
    gradient: (row, k) => [...network.gradient(network.forward(row), k)],
    seen: () => [...page.row],
    update: () => page.update(),
  });
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", open);
else open();
