{}
{a}
{a, b}
{*a, b}
{a: b}
{a: b, **c, d: e}
{**a}
{a: {b: c}}
{None: None}
