# The bar chart: a panel for each text, a bar for each word, as long as the word is often; a stronger colour the more it is
# this text's own.
BEGIN { FS = "\t"; panel = 300; row = 26; left = 110; head = 78 }
$1 != text[texts] { text[++texts] = $1 }
{
    rows[texts]++
    word[texts, rows[texts]] = $2; times[texts, rows[texts]] = $3; score[texts, rows[texts]] = $4
    if ($3 > most) most = $3
    if ($4 > strongest) strongest = $4
    if (rows[texts] > deepest) deepest = rows[texts]
}
END {
    width = texts * panel + 20; height = head + deepest * row + 20
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\"", width, height, width, height
    print " font-family=\"sans-serif\" font-size=\"14\" fill=\"#1f2933\">"
    printf "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", width, height
    print "<text x=\"20\" y=\"32\" font-size=\"18\" font-weight=\"bold\">Words that set each text apart</text>"
    for (t = 1; t <= texts; t++) draw(t, (t - 1) * panel + 20)
    print "</svg>"
}
function draw(t, x,    r, y, long) {
    printf "<text x=\"%d\" y=\"64\" fill=\"#7b8794\">%s</text>\n", x, text[t]
    for (r = 1; r <= rows[t]; r++) {
        y = head + (r - 1) * row
        long = times[t, r] / most * (panel - left - 60)
        printf "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>", x + left - 10, y + 16, word[t, r]
        printf "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"18\" rx=\"3\" fill=\"#2a7f8e\" fill-opacity=\"%.2f\"/>", \
            x + left, y + 2, long, 0.25 + 0.75 * score[t, r] / strongest
        printf "<text x=\"%.1f\" y=\"%d\" font-size=\"12\" fill=\"#7b8794\">%d</text>\n", x + left + long + 6, y + 16, times[t, r]
    }
}
