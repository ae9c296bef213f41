// Draws the diagrams of a page, in the colours of the page's theme, and again when the reader changes it.
(() => {
  const dark = () => {
    const theme = document.body.dataset.theme;
    return theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  };

  let drawn = null;
  const draw = async () => {
    if (drawn === dark()) return;
    drawn = dark();
    const diagrams = [...document.querySelectorAll("pre.mermaid")];
    for (const diagram of diagrams) {
      diagram.dataset.text ??= diagram.textContent;
      diagram.textContent = diagram.dataset.text;
      diagram.removeAttribute("data-processed");
    }
    mermaid.initialize({
      startOnLoad: false,
      securityLevel: "strict",
      theme: drawn ? "dark" : "neutral",
      // Mermaid's notes are darker than its boxes; here they are quieter.
      themeVariables: drawn
        ? { noteBkgColor: "#333", noteTextColor: "#ccc", noteBorderColor: "#666" }
        : { noteBkgColor: "#fff8dc", noteTextColor: "#333", noteBorderColor: "#bbb" },
      fontFamily: getComputedStyle(document.body).fontFamily,
      // Natural size; `fit` makes it smaller.
      flowchart: { useMaxWidth: false, nodeSpacing: 22, rankSpacing: 34, padding: 8, wrappingWidth: 260 },
      sequence: { useMaxWidth: false, noteMargin: 8 },
      state: { useMaxWidth: false },
    });
    await mermaid.run({ nodes: diagrams });
    diagrams.forEach(fit);
  };

  // Make a diagram smaller where it then fits and can still be read; a wider one is scrolled sideways.
  const SMALLEST = 0.6;
  const fit = (diagram) => {
    const svg = diagram.querySelector("svg");
    const fits = svg && svg.viewBox.baseVal.width * SMALLEST <= diagram.clientWidth;
    if (fits) Object.assign(svg.style, { maxWidth: "100%", height: "auto" });
  };

  addEventListener("DOMContentLoaded", () => {
    draw();
    new MutationObserver(draw).observe(document.body, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  });
})();
