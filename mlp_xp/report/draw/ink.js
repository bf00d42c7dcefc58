// Ink: what is drawn with a pen or by keyboard, and the picture that the network gets of it.

const RASTER = 280; // pixels on the longer side of the ink, from which the picture is averaged
const PEN = 0.08; // its width, as a share of the picture: in MNIST's digits some 2 of 28 pixels
const ERASER = 1.5; // its width, in pens: a pen's soft edge would stay, and count as ink in fit()
const MOST_ENLARGED = 4; // how far small ink is: a dot isn't a disk

// Averages of rectangles with fractional edges. `sums` has at (x, y) the sum of all values above and
// to the left of it, so four of them give the sum of any rectangle, whatever its size.
class Averages {
  constructor(values, width, height) {
    Object.assign(this, { width, height, sums: new Float64Array((width + 1) * (height + 1)) });
    for (let y = 0; y < height; y++) {
      for (let x = 0, row = 0; x < width; x++) {
        row += values[y * width + x];
        this.sums[(y + 1) * (width + 1) + x + 1] = this.sums[y * (width + 1) + x + 1] + row;
      }
    }
  }

  // The sum above and to the left of a point that may lie between pixels, or outside.
  until(x, y) {
    const stride = this.width + 1;
    x = Math.min(Math.max(x, 0), this.width);
    y = Math.min(Math.max(y, 0), this.height);
    const i = Math.min(Math.floor(x), this.width - 1);
    const j = Math.min(Math.floor(y), this.height - 1);
    const at = j * stride + i;
    const above = this.sums[at] + (this.sums[at + 1] - this.sums[at]) * (x - i);
    const below =
      this.sums[at + stride] + (this.sums[at + stride + 1] - this.sums[at + stride]) * (x - i);
    return above + (below - above) * (y - j);
  }

  // A picture whose pixels are squares of this size, the first at (left, top); 0 lies outside.
  picture(left, top, size, columns, rows) {
    return Float64Array.from({ length: columns * rows }, (_, pixel) => {
      const x = left + (pixel % columns) * size;
      const y = top + Math.floor(pixel / columns) * size;
      const [right, bottom] = [x + size, y + size];
      const sum =
        this.until(right, bottom) - this.until(x, bottom) - this.until(right, y) + this.until(x, y);
      return Math.min(Math.max(sum / (size * size), 0), 1); // of values from 0 to 1, but for rounding
    });
  }
}

// Where MNIST would put the ink: its box scaled by the longer side to the share of the picture that
// the examples fill, which in MNIST is 20 of 28 pixels, and its center of mass in the middle.
// Returns left, top and size for picture(); null where there is no ink.
function fit(levels, width, height, columns, rows, share) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  let [mass, massX, massY] = [0, 0, 0];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (levels[i] === 0) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y + 1);
      mass += levels[i];
      massX += levels[i] * (x + 0.5);
      massY += levels[i] * (y + 0.5);
    }
  }
  if (mass === 0) return null;
  const filled = Math.max((right - left) / columns, (bottom - top) / rows) / share;
  const size = Math.max(filled, width / columns / MOST_ENLARGED);
  const start = (center, count, first, end) =>
    Math.min(Math.max(center - (count / 2) * size, end - count * size), first); // none is cut off
  return [start(massX / mass, columns, left, right), start(massY / mass, rows, top, bottom), size];
}

// What has been drawn, on two canvases: the one in the page, and one that is read. On that one the
// pen is white and the eraser black, on a transparent ground through which an example shows.
class Ink {
  constructor(model, view) {
    const { width, height, low, high, darkInk } = model;
    const scale = Math.max(1, Math.round(RASTER / Math.max(width, height)));
    Object.assign(this, {
      model,
      scale,
      actions: [],
      width: width * scale,
      height: height * scale,
    });
    [this.paper, this.ink] = darkInk ? [high, low] : [low, high];
    const read = document.createElement("canvas");
    this.view = this.context(view, 2 * scale, darkInk ? ["black", "white"] : ["white", "black"]);
    this.read = this.context(read, scale, ["white", "black"]);
  }

  // A canvas whose unit is a pixel of the network's picture.
  context(canvas, scale, [pen, eraser]) {
    const { width, height } = this.model;
    Object.assign(canvas, { width: width * scale, height: height * scale });
    const context = canvas.getContext("2d", { willReadFrequently: scale === this.scale });
    context.scale(scale, scale);
    context.lineCap = "round";
    return { context, pen, eraser };
  }

  // The example that the drawing started from, or null, and the strokes since.
  current() {
    const start = this.actions.findLastIndex((action) => !action.points);
    return {
      example: this.actions[start]?.example ?? null,
      strokes: this.actions.slice(start + 1),
    };
  }

  start(example) {
    this.actions.push({ example });
    this.repaint();
  }

  undo() {
    if (this.actions.length > 1) this.actions.pop();
    this.repaint();
  }

  begin(point, erases) {
    this.actions.push({ erases, points: [point] });
    this.line(this.actions.at(-1), point, point);
  }

  extend(point) {
    const stroke = this.actions.at(-1);
    this.line(stroke, stroke.points.at(-1), point);
    stroke.points.push(point);
  }

  line({ erases }, [x, y], [toX, toY]) {
    const width = PEN * Math.min(this.model.width, this.model.height);
    for (const { context, pen, eraser } of [this.view, this.read]) {
      context.strokeStyle = erases ? eraser : pen;
      context.lineWidth = width * (erases ? ERASER : 1);
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(toX + 0.001, toY); // a line of no length may not be drawn
      context.stroke();
    }
  }

  repaint() {
    const { width, height } = this.model;
    const { example, strokes } = this.current();
    const view = this.view.context;
    view.fillStyle = this.view.eraser;
    view.fillRect(0, 0, width, height);
    if (example) {
      const canvas = document.createElement("canvas");
      showPicture(canvas, this.model, example.values);
      view.imageSmoothingEnabled = false;
      view.drawImage(canvas, 0, 0, width, height);
    }
    this.read.context.clearRect(0, 0, width, height);
    for (const stroke of strokes) {
      stroke.points.forEach((point, i) =>
        this.line(stroke, stroke.points[Math.max(i - 1, 0)], point),
      );
    }
  }

  // The row that the network gets, as the data has it. An example is left where it is, and is the
  // very row of the test set until something is drawn on it.
  row() {
    const { width, height, channels } = this.model;
    const { example, strokes } = this.current();
    const blank = new Float64Array(width * height * channels).fill(this.paper);
    if (!strokes.length) return example?.values ?? blank;
    const { data } = this.read.context.getImageData(0, 0, this.width, this.height);
    const covered = new Float64Array(this.width * this.height);
    const levels = covered.map((_, i) => (data[4 * i] * data[4 * i + 3]) / 255 ** 2);
    const whole = [0, 0, this.scale];
    const frame = example
      ? whole
      : fit(levels, this.width, this.height, width, height, this.model.filled);
    if (frame === null) return blank;
    const inked = new Averages(levels, this.width, this.height).picture(...frame, width, height);
    if (!example)
      return blank.map((paper, i) => paper + inked[Math.floor(i / channels)] * (this.ink - paper));
    covered.forEach((_, i) => (covered[i] = data[4 * i + 3] / 255));
    const hidden = new Averages(covered, this.width, this.height).picture(...whole, width, height);
    return Float64Array.from(example.values, (value, i) => {
      const pixel = Math.floor(i / channels);
      return value + hidden[pixel] * (this.paper - value) + inked[pixel] * (this.ink - this.paper);
    });
  }
}

// The pen: a pointer of any kind, or the keyboard with a cursor.
class Pen {
  constructor(page) {
    Object.assign(this, { page, canvas: part("canvas"), cursor: part("cursor") });
    this.lift();
    const { width, height } = page.model;
    this.at = [width / 2, height / 2];
    this.step = Math.max(1, Math.max(width, height) / 28);
    this.cursor.style.width = `${(100 * PEN * Math.min(width, height)) / width}%`;
    this.cursor.style.aspectRatio = 1;
    this.canvas.addEventListener("pointerdown", (event) => this.press(event));
    // On the window, so that a stroke may leave the canvas and come back.
    window.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) {
      window.addEventListener(name, (event) => {
        if (event.pointerId === this.pointer) this.pointer = null;
      });
    }
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("focus", () => {
      if (this.canvas.matches(":focus-visible")) this.showCursor();
    });
    this.canvas.addEventListener("blur", () => {
      this.isDown = false;
      this.cursor.hidden = true;
    });
  }

  point({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    const { width, height } = this.page.model;
    return [
      ((clientX - box.left) / box.width) * width,
      ((clientY - box.top) / box.height) * height,
    ];
  }

  press(event) {
    const isEraser = event.button === 5; // the other end of a pen
    if ((event.button !== 0 && !isEraser) || (this.pointer !== null && !event.isPrimary)) return;
    this.isDown = false;
    this.cursor.hidden = true;
    this.page.begin(this.point(event), isEraser);
    this.pointer = event.pointerId;
  }

  drag(event) {
    if (event.pointerId !== this.pointer) return;
    // A frame may have seen several moves.
    const moves = event.getCoalescedEvents?.() ?? [];
    for (const move of moves.length ? moves : [event]) this.page.extend(this.point(move));
  }

  key(event) {
    const does = {
      ArrowLeft: () => this.go(-1, 0),
      ArrowRight: () => this.go(1, 0),
      ArrowUp: () => this.go(0, -1),
      ArrowDown: () => this.go(0, 1),
      " ": () => this.toggle(),
      Enter: () => this.toggle(),
      e: () => this.page.toggleEraser(),
      z: () => this.page.undo(),
      Escape: () => this.page.start(null),
      Delete: () => this.page.start(null),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key]; // Caps Lock may be on
    if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (!event.repeat || event.key.startsWith("Arrow")) does();
    this.showCursor();
  }

  go(x, y) {
    const { width, height } = this.page.model;
    const within = (value, most) => Math.min(Math.max(value, 0), most);
    this.at = [
      within(this.at[0] + x * this.step, width),
      within(this.at[1] + y * this.step, height),
    ];
    if (this.isDown) this.page.extend(this.at);
  }

  toggle() {
    const wasDown = this.isDown;
    if (!wasDown) this.page.begin(this.at, false);
    this.isDown = !wasDown;
  }

  lift() {
    this.isDown = false;
    this.pointer = null;
  }

  showCursor() {
    const { width, height } = this.page.model;
    this.cursor.hidden = false;
    this.cursor.classList.toggle("down", this.isDown);
    this.cursor.style.left = `${(100 * this.at[0]) / width}%`;
    this.cursor.style.top = `${(100 * this.at[1]) / height}%`;
  }
}
