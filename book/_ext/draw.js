// As JSON: the engine cannot hand over a string that it keeps in pieces.
function draw(latex, display) {
  return JSON.stringify(katex.renderToString(latex, { displayMode: display }));
}
