"use strict";

// An output of span corruption is "<extra_id_0> span <extra_id_1> span ...": the spans that belong
// into the places of the same marks in the prompt.
const kMark = /<extra_id_(\d+)>/g;

function spansOf(output) {
  const spans = new Map();
  let open = null, begin = 0;
  for (const match of output.matchAll(kMark)) {
    if (open !== null && !spans.has(open)) spans.set(open, output.slice(begin, match.index).trim());
    open = match[1];
    begin = match.index + match[0].length;
  }
  if (open !== null && !spans.has(open)) spans.set(open, output.slice(begin).trim());
  return spans;
}

// [{text, filled}], the prompt with its marks replaced by the spans there are.
function fillPrompt(prompt, output) {
  const spans = spansOf(output), parts = [];
  let begin = 0;
  for (const match of prompt.matchAll(kMark)) {
    if (!spans.has(match[1])) continue;
    parts.push({text: prompt.slice(begin, match.index), filled: false});
    parts.push({text: spans.get(match[1]), filled: true});
    begin = match.index + match[0].length;
  }
  parts.push({text: prompt.slice(begin), filled: false});
  return parts;
}
