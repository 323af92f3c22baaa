# particular.sh TOP LEAST: the TOP words of each text that are most its own, of those that stand there LEAST times or more.
# Writes particular.tsv: text, word, count, score; the texts in the order of the table, the best word first.
set -eu
export LC_ALL=C
trap 'rm -f scores.tmp' EXIT
tab=$(printf '\t')
awk -f scripts/particular.awk least="$2" table.tsv table.tsv > scores.tmp
sort -t "$tab" -k1,1n -k5,5nr -k3,3 -o scores.tmp scores.tmp
awk -F '\t' -v OFS='\t' -v top="$1" 'seen[$1]++ < top { print $2, $3, $4, $5 }' scores.tmp > particular.tsv
