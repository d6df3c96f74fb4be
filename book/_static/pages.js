// A tap, a click or Enter on a figure opens it whole; without this script the link opens the picture itself.
const whole = document.createElement("dialog");
whole.className = "whole";
whole.innerHTML = '<form method="dialog"><button class="btn" aria-label="Close">✕</button></form><div tabindex="0"></div>';
whole.querySelector("div").setAttribute("aria-label", "Figure at full size");
whole.querySelector("div").setAttribute("role", "group");

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.enlarge");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  whole.querySelector("div").replaceChildren(link.querySelector("img").cloneNode());
  document.body.append(whole);
  whole.showModal();
});
whole.addEventListener("click", (event) => event.target === whole && whole.close());

// The theme's side bar is no landmark of its own.
addEventListener("DOMContentLoaded", () => {
  const side = document.getElementById("pst-primary-sidebar");
  side?.setAttribute("role", "complementary");
  side?.setAttribute("aria-label", "Contents of the book");
});
