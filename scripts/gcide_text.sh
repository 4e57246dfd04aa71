#!/bin/sh
# English text from the dictionary GCIDE (Debian package dict-gcide), one document an entry: a line a
# paragraph, a blank line between entries, as `switchyard prepare` reads plain text.
#
#   scripts/gcide_text.sh [gcide.dict.dz] > gcide.txt
#
# The file wraps its lines at 64 columns and is full of marks: the source of each paragraph
# ([1913 Webster]), pronunciations (\Ab*jure"\ (a^b*j[=u]r)), links in braces, letters with accents
# in brackets (f[=e]sian), question marks where a Greek word stood. All of that goes; etymologies,
# labels such as [Obs.] and quotations stay: they are language that a model can learn from.
set -eu
input=${1:-/usr/share/dictd/gcide.dict.dz}
if [ ! -r "$input" ]; then
  echo "gcide_text.sh: error: cannot read $input: install the package dict-gcide" >&2
  exit 2
fi
export LC_ALL=C

# One line a paragraph. Entries start in the first column; the first one with a pronunciation ends
# the header.
join_paragraphs() {
  awk '
    function flush() {
      if (paragraph != "" && keep) print paragraph
      paragraph = ""
    }
    # A head that is wrapped goes on in the first column, within its pronunciation.
    /^[^ \t]/ && gsub(/\\/, "\\", paragraph) % 2 == 0 {
      flush()
      if (/\\.*\\/) keep = 1
      if (keep) print ""
    }
    /^[ \t]*$/ { flush(); next }
    { sub(/^[ \t]+/, ""); paragraph = paragraph == "" ? $0 : paragraph " " $0 }
    END { flush() }'
}

clean_paragraphs() {
  tr -d '\200-\377' | sed -E '
    s/ *\[[^][]*(Webster|WordNet|PJC|Century|Stedman|MI11|RHUD|Suppl)[^][]*\]//g
    s/ *\[(AS|RP|RDH|PC|WS|JC|RH)\]//g
    s/ *\\[^\\]*\\( ?\([^()]*\))?//g
    s/[{}]//g
    s/\[[=.`'\''"~^,*-]([A-Za-z]{1,2})\]/\1/g
    s/\[([A-Za-z]{1,2})\^\]/\1/g
    s/\[(ae|oe|AE|ng|th)\]/\1/g
    s/\[(eth|thorn)\]/th/g; s/\[asl\]/ae/g; s/\[imac\]/i/g; s/\[aum\]/a/g; s/\[udd\]/u/g
    s/ *\[deg\]/ degrees/g; s/\[(root|add|sect|bar|b?prime|dsdot|crescent|yogh)\]//g
    s/([A-Za-z])["`*]+(-?[A-Za-z])/\1\2/g; s/([A-Za-z])["`*]+(-?[A-Za-z])/\1\2/g
    s/ *\?\?+//g
    s/[ \t]+/ /g; s/ ([,;.])/\1/g; s/ $//
    /^$/b
    /[A-Za-z]/!d'
}

gzip -dc "$input" | join_paragraphs | clean_paragraphs | cat -s
