'\ud800'
'\ud83d\ude00'
'😀'
'\udcff mixed \U0001f600'
