// SPDX-License-Identifier: GPL-3.0-or-later
// Where one is stands in sight, on a telephone too.
document.addEventListener("DOMContentLoaded", () => {
  const here = document.querySelector(".slipway-nav .active");
  if (here) here.scrollIntoView({ block: "nearest", inline: "center" });
});

// Dark or light as the browser likes, where nobody has said it on the account's page.
(function () {
  const root = document.documentElement;
  if (root.hasAttribute("data-bs-theme")) return;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const show = () => root.setAttribute("data-bs-theme", dark.matches ? "dark" : "light");
  dark.addEventListener("change", show);
  show();
})();
