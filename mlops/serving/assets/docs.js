"use strict";
for (const form of document.querySelectorAll("form")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const told = form.nextElementSibling, data = new FormData(form);
    const asked = {method: form.dataset.method};
    if (data.has("body")) {
      asked.body = data.get("body");
      asked.headers = {"content-type": data.get("type")};
    }
    told.textContent = "…";
    try {
      const reply = await fetch(data.get("path"), asked);
      told.textContent = `${reply.status}\n${await reply.text()}`;
    } catch {
      told.textContent = "The server does not answer.";
    }
  });
}
