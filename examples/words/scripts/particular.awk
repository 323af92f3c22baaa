# Reads table.tsv twice, for the totals and then for the scores.  Prints column, text, word, count, score, where the score
# is the logarithm (base 2) of how many times likelier the word is in this text than in all the others together; half a word
# is added everywhere, so that a word which the others lack has a score too.
BEGIN { FS = OFS = "\t" }
FNR == 1 { reading++; for (column = 2; column <= NF; column++) text[column] = $column; next }
reading == 1 { for (column = 2; column <= NF; column++) { total[column] += $column; everything += $column }; next }
{
    whole = 0
    for (column = 2; column <= NF; column++) whole += $column
    for (column = 2; column <= NF; column++) {
        if ($column < least) continue
        here = ($column + 0.5) / (total[column] + 0.5)
        elsewhere = (whole - $column + 0.5) / (everything - total[column] + 0.5)
        print column, text[column], $1, $column, sprintf("%.3f", log(here / elsewhere) / log(2))
    }
}
