// The student in this browser: transformers.js with ONNX Runtime's WebAssembly, all from this folder.

import { AutoModel, AutoModelForSequenceClassification, AutoTokenizer, env }
  from "./vendor/transformers.web.min.js";

const here = new URL("./", import.meta.url).href;
env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = new URL(here).pathname; // with a whole address it would ask the Hub
env.useBrowserCache = false;
env.useWasmCache = false;
env.backends.onnx.wasm.wasmPaths = `${here}vendor/`;
env.backends.onnx.wasm.numThreads = 1; // more need headers that a static host does not send

const loaded = new Map();
let tokenizer;
let arrived = () => {};

// transformers.js would ask for each file twice to report the progress.
env.fetch = async (url, options) => {
  const response = await fetch(url, options);
  if (!response.ok || !String(url).endsWith(".onnx")) return response;
  let bytes = 0;
  const counted = new TransformStream({
    transform(chunk, stream) {
      arrived((bytes += chunk.length));
      stream.enqueue(chunk);
    },
  });
  return new Response(response.body.pipeThrough(counted), response);
};

/**
 * Load tokenizer and model, once per precision.
 * @param dtype "q8" or "fp32"
 * @param onProgress called with the bytes that have arrived
 */
export function load(dtype, onProgress = () => {}) {
  arrived = onProgress;
  if (!loaded.has(dtype)) {
    const loading = start(dtype);
    loading.catch(() => loaded.delete(dtype)); // so that it can be tried again
    loaded.set(dtype, loading);
  }
  return loaded.get(dtype);
}

async function start(dtype) {
  tokenizer ??= await AutoTokenizer.from_pretrained("model");
  const { model_type: type } = await (await fetch(`${here}model/config.json`)).json();
  const known = AutoModelForSequenceClassification.supports(type);
  return (known ? AutoModelForSequenceClassification : AutoModel).from_pretrained("model", {
    dtype,
    device: "wasm",
  });
}

/** The logits of a text, and whether it was too long to be read to its end. */
export async function score(text, dtype) {
  const model = await load(dtype);
  const inputs = tokenizer(text, { truncation: true });
  const { logits } = await model(inputs);
  const read = inputs.input_ids.dims[1];
  return { logits: Array.from(logits.data), cut: tokenizer.encode(text).length > read, read };
}
