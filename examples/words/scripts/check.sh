# check.sh NAME...: fails unless the table holds as many words as words/NAME.txt together, and totals.json says so.
set -eu
export LC_ALL=C
read=0
for name; do
    read=$((read + $(awk 'END { print NR }' "words/$name.txt")))
done
counted=$(awk -F '\t' 'NR > 1 { for (column = 2; column <= NF; column++) sum += $column } END { print sum + 0 }' table.tsv)
said=$(sed 's/.*"words": \([0-9]*\).*/\1/' totals.json)
if [ "$read" -ne "$counted" ] || [ "$read" -ne "$said" ]; then
    echo "the texts have $read words, the table $counted, totals.json says $said" >&2
    exit 1
fi
echo "$read words, none lost"
