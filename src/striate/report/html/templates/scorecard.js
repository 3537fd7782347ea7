// Sorts the models (columns) of a scorecard by a row. The order stands in the address, as
// #sort=r3 or #sort=r3,reversed, so that a sorted page can be sent on.
(() => {
  "use strict";
  const grid = document.getElementById("scorecard");
  const status = document.getElementById("sorted");
  const buttons = [...grid.querySelectorAll("button[data-sort]")];
  const heads = [...grid.tHead.querySelectorAll("[data-model]")];
  const given = heads.map((head) => head.dataset.model);
  const nameOf = Object.fromEntries(heads.map((head) => [head.dataset.model, head.dataset.name]));

  // What was not measured stands last, whichever way round.
  function orderOf(key, reversed) {
    const way = reversed ? -1 : 1;
    if (key === "given") return reversed ? [...given].reverse() : given;
    if (key === "name") {
      return [...given].sort((a, b) => way * nameOf[a].localeCompare(nameOf[b]));
    }
    const row = grid.querySelector(`tr[data-row="${CSS.escape(key)}"]`);
    const best = row.dataset.better === "lower" ? 1 : -1;
    const value = {};
    for (const cell of row.querySelectorAll("td[data-value]")) {
      value[cell.dataset.model] = Number(cell.dataset.value);
    }
    const measured = given.filter((model) => model in value);
    measured.sort((a, b) => way * best * (value[a] - value[b]));
    return [...measured, ...given.filter((model) => !(model in value))];
  }

  function arrange(key, reversed) {
    const pressed = buttons.find((button) => button.dataset.sort === key);
    if (!pressed) return;
    const order = orderOf(key, reversed);
    for (const line of grid.rows) {
      const cells = {};
      for (const cell of line.querySelectorAll("[data-model]")) cells[cell.dataset.model] = cell;
      for (const model of order) if (cells[model]) line.append(cells[model]);
      line.classList.toggle("sorted", line.dataset.row === key);
    }
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button === pressed));
      button.classList.toggle("reversed", button === pressed && reversed);
    }
    const turned = reversed ? ", order reversed" : "";
    status.textContent = `Models sorted: ${pressed.textContent}${turned}.`;
  }

  function sortByAddress() {
    const order = /^#sort=([\w-]+)(,reversed)?$/.exec(location.hash);
    if (order) arrange(order[1], Boolean(order[2]));
  }

  for (const button of buttons) {
    button.setAttribute("aria-pressed", String(button.dataset.sort === "given"));
    button.addEventListener("click", () => {
      const again = button.getAttribute("aria-pressed") === "true";
      const reversed = again && !button.classList.contains("reversed");
      arrange(button.dataset.sort, reversed);
      history.replaceState(null, "", `#sort=${button.dataset.sort}${reversed ? ",reversed" : ""}`);
    });
  }
  window.addEventListener("hashchange", sortByAddress);
  sortByAddress();
})();
