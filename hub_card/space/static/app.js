// The page: a text in, its labels out. Everything from outside is set as text, never as HTML.

import { decide, margins, sigmoid } from "./decisions.js";
import { load, score } from "./model.js";

const RIGHT_TO_LEFT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}]/u;
const part = (id) => document.getElementById(id);
const settings = await (await fetch("./space.json")).json();
let dtype = settings.graphs[0].dtype;
let asked = 0;

const chosen = () => settings.graphs.find((graph) => graph.dtype === dtype);

function element(name, options = {}, ...children) {
  const { data = {}, attributes = {}, ...properties } = options;
  const made = Object.assign(document.createElement(name), properties);
  Object.assign(made.dataset, data);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function say(text, problem = false) {
  part("status").textContent = text;
  part("status").classList.toggle("se-error", problem);
}

/** The box follows its first letter; an empty one has the direction of the model's texts. */
function followDirection() {
  const first = part("text").value.match(/\p{L}/u);
  part("text").dir = !first ? settings.direction : RIGHT_TO_LEFT.test(first[0]) ? "rtl" : "ltr";
}

function bar(label, chance, threshold, given) {
  const fill = element("span", { className: "se-fill" });
  fill.style.width = `${100 * chance}%`;
  const limit = element("span", { className: "se-limit", title: `threshold ${threshold.toFixed(2)}` });
  limit.style.left = `${100 * threshold}%`;
  const meter = {
    role: "meter",
    "aria-label": label,
    "aria-valuemin": 0,
    "aria-valuemax": 1,
    "aria-valuenow": chance.toFixed(3),
    "aria-valuetext": `${chance.toFixed(2)}, ${given ? "given" : "not given"}`,
  };
  return element(
    "div",
    { className: given ? "se-row se-given" : "se-row", data: { label, given, score: chance } },
    element(
      "span",
      { className: "se-name" },
      element("span", { className: "se-tick", textContent: given ? "✓" : "" }),
      element("bdi", { textContent: label }),
    ),
    element("span", { className: "se-track", attributes: meter }, fill, limit),
    element("span", { className: "se-score", textContent: chance.toFixed(2) }),
    element("span", { className: "se-threshold", textContent: threshold.toFixed(2) }),
  );
}

function show(logits, cut, read) {
  const { labels, thresholds } = settings.decision;
  const given = decide(logits, settings.decision);
  const strengths = margins(logits, settings.decision);
  const ranked = labels
    .map((label, index) => ({ label, index, chance: sigmoid(logits[index]), strength: strengths[index] }))
    .sort((a, b) => given[b.index] - given[a.index] || b.strength - a.strength || a.index - b.index);
  part("bars").replaceChildren(
    ...ranked.map(({ label, index, chance }) => bar(label, chance, thresholds[index], given[index])),
  );
  const named = ranked.filter(({ index }) => given[index]).map(({ label }) => label);
  const listed = named.flatMap((label, place) => [
    place ? ", " : "",
    element("bdi", { textContent: label }),
  ]);
  part("given").replaceChildren("Labels given: ", element("strong", {}, ...(named.length ? listed : ["none"])));
  part("cut").hidden = !cut;
  part("cut").textContent = `The text is long: only its first ${read} sub-words were read.`;
  part("result").hidden = false;
}

async function answer() {
  const text = part("text").value;
  const turn = ++asked;
  if (!text.trim()) {
    part("result").hidden = true;
    return say("There is no text yet. Write one, or choose an example.", true);
  }
  try {
    await ready();
    say("Reading …");
    await new Promise((done) => setTimeout(done)); // lets the page show it
    const { logits, cut, read } = await score(text, dtype);
    if (turn !== asked) return;
    show(logits, cut, read);
    say(`Done, in this browser. Model: ${chosen().title}.`);
  } catch (error) {
    console.error(error);
    say(`Sorry. The model cannot run here: ${error.message ?? error}`, true);
  }
}

async function ready() {
  say("Loading the model …");
  const { bytes } = chosen();
  await load(dtype, (found) => say(`Loading the model: ${Math.round((100 * found) / bytes)} %`));
}

function fillPage() {
  document.title = settings.title;
  part("title").textContent = settings.title;
  part("note").textContent = settings.note ?? "";
  part("note").hidden = !settings.note;
  part("data").textContent = settings.data ? `Training texts: ${settings.data}` : "";
  part("text").maxLength = settings.max_characters;
  part("text").placeholder = settings.placeholder;
  if (settings.language) part("text").lang = settings.language;
  part("rule").textContent = settings.meaning;
  for (const [name, text] of Object.entries(settings.examples ?? {})) {
    const button = element(
      "button",
      { type: "button", className: "example" },
      element("span", { className: "caption", textContent: name }),
      element("bdi", { textContent: text, dir: "auto" }),
    );
    button.addEventListener("click", () => {
      part("text").value = text;
      followDirection();
      answer();
    });
    part("examples").append(element("li", {}, button));
  }
  part("examples-part").hidden = !part("examples").children.length;
  part("figures").append(...settings.figures.map((textContent) => element("li", { textContent })));
  part("figures-part").hidden = !settings.figures.length;
  for (const graph of settings.graphs) {
    const choice = { type: "radio", name: "graph", value: graph.dtype, checked: graph.dtype === dtype };
    const size = `${(graph.bytes / 1e6).toFixed(1)} MB`;
    const input = element("input", choice);
    input.addEventListener("change", () => {
      dtype = graph.dtype;
      if (part("result").hidden) prepare();
      else answer();
    });
    part("graphs").append(element("label", {}, input, ` ${graph.title}, ${size}`));
  }
  part("graphs").hidden = settings.graphs.length < 2;
  part("model").replaceChildren(
    settings.revision
      ? element("a", {
          href: `https://huggingface.co/${settings.model}/tree/${settings.revision}`,
          textContent: settings.model,
          target: "_blank",
          rel: "noopener",
        })
      : settings.model,
  );
}

async function prepare() {
  const turn = ++asked;
  try {
    await ready();
    if (turn === asked) say("Ready. Your text stays in this browser.");
  } catch (error) {
    console.error(error);
    say(`Sorry. The model cannot run here: ${error.message ?? error}`, true);
  }
}

fillPage();
followDirection();
part("text").addEventListener("input", followDirection);
part("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    answer();
  }
});
part("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  answer();
});
prepare();
