# table.sh NAME...: joins counts/NAME.tsv into table.tsv, a row for each word, and writes totals.json.
set -eu
export LC_ALL=C
trap 'rm -f table.tmp rows.tmp' EXIT
for name; do
    awk -v name="$name" '{ print $1 "\t" name "\t" $2 }' "counts/$name.tsv"
done > table.tmp
awk -f scripts/table.awk names="$*" table.tmp > rows.tmp
sort -o rows.tmp rows.tmp
{ printf 'word'; printf '\t%s' "$@"; echo; cat rows.tmp; } > table.tsv
awk -F '\t' -v texts="$#" '
    { for (column = 2; column <= NF; column++) words += $column }
    END { printf "{\"distinct\": %d, \"texts\": %d, \"words\": %d}\n", NR, texts, words }
' rows.tmp > totals.json
