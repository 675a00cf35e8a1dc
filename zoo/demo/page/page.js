// Asks the model on this machine and shows what it answers. Nothing is fetched from elsewhere.

const $ = (id) => document.getElementById(id);
const about = await ask("api/about").catch((error) => (fail(error), Promise.reject(error)));
const latest = { search: 0, explain: 0, locate: 0 }; // of two answers that to the later question stays
let query = null; // the name of the picture that is looked up
let scene = null; // and of the one that is searched

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    throw new Error(`No answer. Expected: keras-metric demo running. Received: ${error.message}`);
  }
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const address = (name) => `api/pictures/${encodeURIComponent(name)}`;
const words = (names) => new URLSearchParams(names);

/** Run a question: errors are shown, and an answer that came too late is dropped. */
async function shown(kind, question, show) {
  const number = (latest[kind] += 1);
  document.body.dataset.state = "busy";
  try {
    const answer = await question();
    if (number !== latest[kind]) return;
    $("error").hidden = true;
    await show(answer);
    document.body.dataset.state = "ready";
  } catch (error) {
    if (number === latest[kind]) fail(error);
  }
}

function fail(error) {
  const parts = error.message.split(/\s(?=Expected: |Received: )/);
  $("error").replaceChildren(...parts.map((part) => element("p", { textContent: part })));
  $("error").hidden = false;
  document.body.dataset.state = "failed";
}

async function upload(file) {
  if (file.size > about.limits.bytes) {
    throw new Error(
      `The file is too large. Expected: at most ${about.limits.bytes.toLocaleString("en")} bytes. ` +
        `Received: ${file.size.toLocaleString("en")}.`,
    );
  }
  const headers = { "content-type": "application/octet-stream" };
  return (await ask("api/pictures", { method: "POST", body: file, headers })).picture;
}

/** Look a picture up: a name, or a file to send first. */
function search(picture) {
  if (about.kind === "classifier") return classify(picture);
  return shown(
    "search",
    async () => {
      const name = picture instanceof Blob ? await upload(picture) : picture;
      return { name, found: await ask(`api/search?${words({ picture: name, k: 8 })}`) };
    },
    async ({ name, found }) => {
      query = name;
      $("query").src = address(name);
      $("query").hidden = false;
      mark("samples", name);
      $("verdict").textContent = found.verdict;
      $("verdict").className = found.label === null ? "none" : "some";
      const most = Math.max(...found.neighbours.map((one) => one.distance), about.threshold ?? 0);
      $("neighbours").replaceChildren(...found.neighbours.map((one) => neighbour(one, most)));
      if (found.neighbours.length) await explain(found.neighbours[0]);
      if (scene !== null) await locate(scene);
    },
  );
}

/** Ask a classifier what a picture shows. */
function classify(picture) {
  return shown(
    "search",
    async () => {
      const name = picture instanceof Blob ? await upload(picture) : picture;
      return { name, found: await ask(`api/classes?${words({ picture: name, top: 5 })}`) };
    },
    ({ name, found }) => {
      query = name;
      $("query").src = address(name);
      $("query").hidden = false;
      $("verdict").textContent = found.classes[0].label;
      $("verdict").className = "some";
      $("neighbours").replaceChildren(...found.classes.map(kind));
      point(found.classes[0]);
    },
  );
}

function kind(one) {
  const button = element(
    "button",
    { type: "button", title: `${one.label}, score ${one.score.toFixed(4)}` },
    element("img", { src: one.map, alt: "" }),
    element("strong", { textContent: one.label }),
    element("span", { className: "distance", textContent: one.score.toFixed(3) }),
  );
  button.dataset.picture = one.class;
  button.addEventListener("click", () => point(one));
  return element("li", {}, button);
}

/** Show where a classifier sees a class. */
function point(one) {
  mark("neighbours", String(one.class));
  $("why-first").src = one.map;
  $("why-first").hidden = false;
  $("why-note").textContent = `${one.label}: score ${one.score.toFixed(3)}. Map: ${about.maps}.`;
}

function neighbour(one, most) {
  const bar = element("span", { className: "bar" }, element("i"));
  bar.firstChild.style.width = `${(100 * one.distance) / (most || 1)}%`;
  if (about.threshold !== null) {
    const limit = element("b");
    limit.style.left = `${(100 * about.threshold) / (most || 1)}%`;
    bar.append(limit);
  }
  const label = one.label ?? "no label";
  const told = { true: "within the threshold", false: "beyond it", null: "" }[one.within];
  const button = element(
    "button",
    { type: "button", title: `${label}, distance ${one.distance.toFixed(4)}${told && `, ${told}`}` },
    element("img", { src: address(one.picture), alt: "" }),
    element("strong", { textContent: label }),
    element("span", { className: "distance", textContent: one.distance.toFixed(3) }),
    bar,
  );
  button.dataset.picture = one.picture;
  if (one.within !== null) button.className = one.within ? "within" : "beyond";
  button.addEventListener("click", () => explain(one));
  return element("li", {}, button);
}

function explain(one) {
  return shown(
    "explain",
    () => ask(`api/explain?${words({ picture: query, other: one.picture })}`),
    (found) => {
      mark("neighbours", one.picture);
      $("why-first").src = found.maps[0];
      $("why-second").src = found.maps[1];
      $("why-first").hidden = $("why-second").hidden = false;
      $("why-name").textContent = one.label ?? "a neighbour";
      const sum = found.exact
        ? "The shares of each map add up to it."
        : `The shares add up to ${found.sum.toFixed(3)}: integrated gradients.`;
      $("why-note").textContent = `Cosine similarity ${found.similarity.toFixed(3)}. ${sum}`;
    },
  );
}

/** Look for the picture in a scene: a name, or a file to send first. */
function locate(picture) {
  return shown(
    "locate",
    async () => {
      const name = picture instanceof Blob ? await upload(picture) : picture;
      return { name, found: await ask(`api/locate?${words({ picture: query, scene: name })}`) };
    },
    ({ name, found }) => {
      scene = name;
      mark("scenes", name);
      $("scene-picture").src = address(name);
      $("scene-heat").src = found.heat;
      $("scene").hidden = false;
      $("least").textContent = found.least.toFixed(2);
      $("most").textContent = found.most.toFixed(2);
      $("boxes").replaceChildren(...found.boxes.map(box));
      $("places").replaceChildren(...found.boxes.map(place));
    },
  );
}

function box({ box: [left, top, right, bottom] }, number) {
  const frame = element("span", { textContent: number + 1, className: number ? "" : "best" });
  const sides = { left, top, width: right - left, height: bottom - top };
  for (const [side, share] of Object.entries(sides)) frame.style[side] = `${100 * share}%`;
  return frame;
}

function place(one) {
  const text = `score ${one.score.toFixed(3)}` + (one.scale === 1 ? "" : `, ${one.scale} times as large`);
  return element("li", { textContent: text });
}

/** Mark the button of the picture that is shown. */
function mark(group, name) {
  for (const button of $(group).querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.picture === name));
  }
}

function offer(group, offers, chosen) {
  const buttons = offers.map(({ picture, title }) => {
    const image = element("img", { src: address(picture), alt: "" });
    const button = element("button", { type: "button", title }, image, element("span", { textContent: title }));
    button.dataset.picture = picture;
    button.addEventListener("click", () => chosen(picture));
    return button;
  });
  $(group).replaceChildren(...buttons);
}

/** A file comes by the chooser of a label, or dropped on it. */
function takes(label, input, chosen) {
  $(input).addEventListener("change", () => {
    if ($(input).files.length) chosen($(input).files[0]);
    $(input).value = "";
  });
  $(label).addEventListener("drop", (event) => {
    event.stopPropagation();
    dropped(event, chosen);
  });
}

function dropped(event, chosen) {
  event.preventDefault();
  document.body.classList.remove("over");
  if (event.dataTransfer.files.length) chosen(event.dataTransfer.files[0]);
}

takes("query-drop", "query-file", search);
takes("scene-drop", "scene-file", locate);
$("scene").addEventListener("drop", (event) => (event.stopPropagation(), dropped(event, locate)));
addEventListener("dragover", (event) => (event.preventDefault(), document.body.classList.add("over")));
addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("over"));
addEventListener("drop", (event) => dropped(event, search));
addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (file) search(file);
});
$("heat").addEventListener("change", () => $("scene").classList.toggle("plain", !$("heat").checked));

document.title = `${about.model} · keras-metric`;
$("model").textContent = about.model;
document.body.dataset.kind = about.kind;
const facts =
  about.kind === "classifier"
    ? { tells: about.source, takes: about.input }
    : { searches: about.source, takes: about.input, distance: about.distance };
for (const [name, value] of Object.entries(facts)) {
  $("facts").append(element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })));
}
if (about.kind === "classifier") $("why-note").textContent = "Choose a class to see where it is.";
else
  $("threshold").textContent =
    about.threshold === null
    ? `No threshold is set: ${about.chosen}.`
    : `Threshold ${about.threshold.toPrecision(4)}: ${about.chosen}.`;
offer("samples", about.samples, search);
offer("scenes", about.scenes, locate);

// A link can say what to begin with: ?picture=sample-3&scene=scene-0
const wanted = new URLSearchParams(location.search);
const first = wanted.get("picture") ?? about.samples[0]?.picture;
scene = wanted.get("scene");
if (first) await search(first);
else document.body.dataset.state = "ready";
