"use strict";
// The form works without this: it then shows the plain answer of /predict, and explains nothing.
const form = document.getElementById("ask"), answer = document.getElementById("answer");
form.querySelector(".check").hidden = false;
const put = (parent, name, text, kind) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  parent.append(made);
  return made;
};
const round = (value) => Number(value.toPrecision(3)).toString();
const lines = (title, rows) => {
  put(answer, "h3", title);
  const table = put(answer, "table");
  for (const [name, value, share] of rows) {
    const row = put(table, "tr");
    put(row, "th", name).scope = "row";
    if (share !== undefined) {
      const meter = put(put(row, "td"), "meter");
      meter.value = share;
      meter.setAttribute("aria-label", name);
    }
    put(row, "td", value, "number");
  }
};
const show = (found, characters) => {
  put(answer, "p", "class" in found ? found.class : round(found.value), "good");
  put(answer, "p", `version ${found.model_version}, prediction ${found.prediction_id}`, "soft");
  if (found.probabilities) {
    lines("Probabilities", Object.entries(found.probabilities).map(([n, p]) => [n, round(p), p]));
  } else {
    lines("Quantiles", Object.entries(found.quantiles).map(([n, v]) => [n, round(v)]));
  }
  const why = found.explanation;
  if (!why) return;
  if (why.image) {
    put(answer, "h3", "What spoke for it (red) and against it (blue)");
    const image = put(answer, "img");
    image.src = why.image;
    image.alt = "the image, red where a patch spoke for the answer, blue where against";
  } else if (why.parts) {
    const named = why.parts.map((p) => [p.columns ? p.columns.join(", ") : characters.slice(p.start, p.end).join(""), round(p.value)]);
    lines("What each part did for the answer", named);
  }
};
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  answer.textContent = "…";
  const data = new FormData(form);
  const explain = data.get("explain") ? "?top_k=10&explain=png" : "?top_k=10";
  data.delete("explain");
  try {
    const reply = await fetch("predict" + explain, {method: "POST", body: data});
    const found = await reply.json();
    answer.textContent = "";
    // What the server counts: whole characters, and two for the end of a line, as forms send it.
    const sent = String(data.get("text") || "").replace(/\r\n|\r|\n/g, "\r\n");
    if (reply.ok) show(found, [...sent]);
    else put(answer, "p", `${found.message}. ${found.error.remedy}`, "bad");
  } catch {
    answer.textContent = "";
    put(answer, "p", "The server did not answer.", "bad");
  }
});
const drop = document.querySelector(".drop"), file = document.querySelector("input[type=file]");
if (drop && file) {
  for (const kind of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) {
        file.files = event.dataTransfer.files;
        form.requestSubmit();
      }
    });
  }
}
