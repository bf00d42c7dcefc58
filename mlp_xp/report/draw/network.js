// The mathematics of mlp_xp/nn in the page, for one picture at a time: what the network answers,
// and the gradient. Weights are float32, sums float64. ink.js makes the picture, shown.js shows what
// becomes of it, page.js leads from one to the other; all four files are put into one function, so
// that nothing of them is global.

const LEAK = 0.01;
const GELU_SCALE = Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;
const geluTanh = (z) => Math.tanh(GELU_SCALE * (z + GELU_CUBIC * z * z * z));
// Without an exponent that could overflow.
const sigmoid = (z) => Math.exp(Math.min(z, 0)) / (1 + Math.exp(-Math.abs(z)));

// Each function a(z), beside its derivative in z.
const ACTIVATIONS = {
  relu: { value: (z) => Math.max(z, 0), slope: (z) => (z > 0 ? 1 : 0) },
  leaky_relu: { value: (z) => Math.max(z, LEAK * z), slope: (z) => (z > 0 ? 1 : LEAK) },
  gelu: {
    value: (z) => (z * (1 + geluTanh(z))) / 2,
    slope: (z) => {
      const t = geluTanh(z);
      const inner = GELU_SCALE * (1 + 3 * GELU_CUBIC * z * z);
      return ((1 + t) / 2) * (1 + z * (1 - t) * inner);
    },
  },
  tanh: { value: Math.tanh, slope: (z) => 1 - Math.tanh(z) ** 2 },
  sigmoid: { value: sigmoid, slope: (z) => sigmoid(z) * (1 - sigmoid(z)) },
  identity: { value: (z) => z, slope: () => 1 },
};

// The probabilities of the classes, which add up to 1; or of the labels, each for itself.
function softmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const powers = logits.map((z) => Math.exp(z - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer;
}

const float32 = (base64) => new Float32Array(bytesOf(base64));
const float64 = (base64) => new Float64Array(bytesOf(base64));

class Network {
  // model: what _content() in ../drawing.py says.
  constructor(model) {
    this.scale = model.scale;
    this.mean = model.mean && float64(model.mean);
    this.std = model.std && float64(model.std);
    this.activation = ACTIVATIONS[model.activation];
    this.predicted = model.manyLabels ? (logits) => logits.map(sigmoid) : softmax;
    // W is (inputs, outputs), row after row: W[i * outputs + j] leads from i to j.
    this.layers = model.layers.map(({ W, b }) => {
      const layer = { W: float32(W), b: float32(b) };
      return { ...layer, outputs: layer.b.length, inputs: layer.W.length / layer.b.length };
    });
  }

  // From a row as the data has it to the first layer's input, as Network.prepare() does in Python.
  prepare(row) {
    return Float32Array.from(row, (value, i) => {
      const x = this.scale === null ? value : Math.fround(value / this.scale);
      return this.mean ? (x - this.mean[i]) / this.std[i] : x;
    });
  }

  // A[0] = x,  Z[l] = A[l] W[l] + b[l],  A[l + 1] = activation(Z[l]); the last Z are the logits.
  forward(row) {
    const A = [this.prepare(row)];
    const Z = [];
    for (const { W, b, inputs, outputs } of this.layers) {
      const a = A[A.length - 1];
      const z = Float64Array.from(b);
      for (let i = 0; i < inputs; i++) {
        if (a[i] === 0) continue; // most pixels, and half of the units of a ReLU
        for (let j = 0, w = i * outputs; j < outputs; j++, w++) z[j] += a[i] * W[w];
      }
      Z.push(z);
      if (Z.length < this.layers.length) A.push(z.map(this.activation.value));
    }
    const logits = Z[Z.length - 1];
    return { A, Z, logits, probabilities: this.predicted(logits) };
  }

  // The gradient of logit k in each number that the first layer reads, A[0]: the chain rule, from the
  // last layer to the first.
  gradient({ Z }, k) {
    let d = new Float64Array(this.layers[this.layers.length - 1].outputs);
    d[k] = 1;
    for (let l = this.layers.length - 1; l >= 0; l--) {
      d = this.back(l, d);
      if (l > 0) d = d.map((x, i) => x * this.activation.slope(Z[l - 1][i]));
    }
    return d;
  }

  // What unit u of hidden layer l adds up, as a weight for each number in A[0]. In the first layer
  // these are its own weights; further up the products of weights on all ways to it, as if there
  // were no activations in between.
  weightsOf(l, u) {
    let d = new Float64Array(this.layers[l].outputs);
    d[u] = 1;
    for (let i = l; i >= 0; i--) d = this.back(i, d);
    return d;
  }

  // W d: from the outputs of layer l to its inputs.
  back(l, d) {
    const { W, inputs, outputs } = this.layers[l];
    const result = new Float64Array(inputs);
    for (let i = 0, w = 0; i < inputs; i++) {
      let sum = 0;
      for (let j = 0; j < outputs; j++, w++) sum += W[w] * d[j];
      result[i] = sum;
    }
    return result;
  }
}
