"use strict";
(async () => {
  const at = (id) => document.getElementById(id);
  const RULES = { live: "by what you just did", popularity: "what most visitors view", factors: "by your history" };
  let wals = null;

  const refresh = async () => {
    const answer = await wals.show("#recommended", { k: 8 });
    at("rule").textContent = answer ? RULES[answer.rule] || answer.rule : "the server does not answer";
    return answer;
  };
  const act = (name, id) => async () => {
    await wals.event(name, { items: [{ item_id: id }] });
    await refresh();
  };
  const button = (text, label, click) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.setAttribute("aria-label", label);
    made.addEventListener("click", click);
    return made;
  };
  const start = async () => {
    wals = window.Wals({ visitor: `shop.${crypto.getRandomValues(new Uint32Array(1))[0]}` });
    await refresh();
  };
  at("again").addEventListener("click", start);
  await start();
  const shelf = await wals.recommendations(12);
  at("shelf").replaceChildren(...shelf.recommendations
    .filter((item) => typeof item.contentId === "string")
    .map((item) => {
      const row = document.createElement("li"), name = document.createElement("span");
      name.textContent = item.title || item.contentId;
      row.append(name, button("View", `View ${name.textContent}`, act("view_item", item.contentId)),
        button("Buy", `Buy ${name.textContent}`, act("purchase", item.contentId)));
      return row;
    }));
})();
