// The ledger can be asked: DataTables searches, sorts and pages; the filters and the address of a row are here.
// It is fetched and set up when the ledger comes near, or an address names one of its rows; until then the table is plain.
const library = document.currentScript.src.replace(/ledger\.js.*/, "datatables/dataTables.min.js");
const named = () => {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {  // an address that is none
    return "";
  }
};

const start = (place) => {
  const table = new DataTable(place.querySelector("table"), {
    autoWidth: false,
    order: [],
    pageLength: 25,
    lengthMenu: [25, 100, { label: "all", value: -1 }],
    layout: { topStart: "search", topEnd: "pageLength" },
    language: { search: "Search", lengthMenu: "Rows _MENU_", info: "_START_ to _END_ of _TOTAL_ claims" },
  });
  const rows = table.rows().nodes().toArray();

  const filters = { paper: "Paper", figure: "Figure of the paper", verdict: "Verdict", interval: "How sure", cause: "Cause" };
  const bar = document.createElement("form");
  bar.className = "ledger-filters";
  for (const [name, words] of Object.entries(filters)) {
    const select = document.createElement("select");
    select.name = name;
    select.add(new Option("any", ""));
    for (const value of new Set(rows.map((row) => row.dataset[name]))) if (value) select.add(new Option(value));
    const label = document.createElement("label");
    label.append(words, select);
    bar.append(label);
  }
  const again = document.createElement("button");
  Object.assign(again, { type: "button", textContent: "Show all" });
  bar.append(again);
  place.before(bar);
  const fits = (row) => Object.keys(filters).every((name) => ["", row.dataset[name]].includes(bar[name].value));
  table.search.fixed("filters", (text, data, index) => fits(table.row(index).node()));
  const narrow = () => {
    for (const option of bar.figure.options) {
      option.hidden = option.value && !rows.some((row) => row.dataset.figure === option.value
        && ["", row.dataset.paper].includes(bar.paper.value));
    }
    if (bar.figure.selectedOptions[0].hidden) bar.figure.value = "";
    table.draw();
  };
  const all = () => {
    bar.reset();
    table.search("");
    narrow();
  };
  bar.addEventListener("change", narrow);
  again.addEventListener("click", all);

  const find = () => {
    const name = named();
    const row = rows.find((one) => [one, ...one.querySelectorAll("a[id]")].some((place) => place.id === name));
    if (!row) return;
    all();
    const at = table.rows({ search: "applied", order: "applied" }).nodes().toArray().indexOf(row);
    if (table.page.len() > 0) table.page(Math.floor(at / table.page.len())).draw(false);
    rows.forEach((one) => one.classList.toggle("found", one === row));
    row.scrollIntoView({ block: "center" });
  };
  addEventListener("hashchange", find);
  find();

  let length;
  addEventListener("beforeprint", () => { length = table.page.len(); table.page.len(-1).draw(); });
  addEventListener("afterprint", () => table.page.len(length).draw());
};

addEventListener("DOMContentLoaded", () => {
  const place = document.querySelector(".ledger");
  if (!place) return;
  let begun = false;
  const begin = () => {
    if (begun) return;
    begun = true;
    near.disconnect();
    const script = document.createElement("script");
    script.src = library;
    script.addEventListener("load", () => start(place));
    document.head.append(script);
  };
  const near = new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) begin();
  }, { rootMargin: "1500px" });
  near.observe(place);
  const follow = () => {
    if (place.contains(document.getElementById(named()))) begin();
  };
  addEventListener("hashchange", follow);
  follow();
});
