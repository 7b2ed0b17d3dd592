// The student in this browser: transformers.js with ONNX Runtime's WebAssembly, all from this folder.

import { AutoModel, AutoModelForSequenceClassification, AutoTokenizer, Tensor, env }
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

/**
 * The sub-words of a text. One that is too long keeps the tokens at its end, such as [SEP], as in
 * Python; transformers.js would cut them off.
 */
function encode(text) {
  const all = tokenizer.encode(text);
  const most = tokenizer.model_max_length;
  if (all.length <= most) return all;
  const plain = tokenizer.encode(text, { add_special_tokens: false });
  let before = 0;
  while (before < all.length && !plain.every((id, place) => id === all[before + place])) before++;
  const after = all.length - plain.length - before;
  return [...all.slice(0, most - after), ...all.slice(all.length - after)];
}

/** The logits of a text, how many sub-words were read, and whether there are more. */
export async function score(text, dtype) {
  const model = await load(dtype);
  const ids = encode(text);
  const tensor = (values) => new Tensor("int64", BigInt64Array.from(values, BigInt), [1, ids.length]);
  const { logits } = await model({
    input_ids: tensor(ids),
    attention_mask: tensor(ids.map(() => 1)),
  });
  const cut = tokenizer.encode(text).length > ids.length;
  return { logits: Array.from(logits.data), cut, read: ids.length };
}
