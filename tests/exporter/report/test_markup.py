from kedge_exporter.report.markup import Html, element, join, text


def test_text_is_escaped_and_html_is_not():
    inner = element("b", "<i> & \"quotes\" 'too'")
    assert inner == "<b>&lt;i&gt; &amp; &quot;quotes&quot; &#x27;too&#x27;</b>"
    assert element("p", inner, "<") == f"<p>{inner}&lt;</p>"


def test_attributes_are_escaped_and_named_as_in_html():
    made = element("a", "x", class_='"><script>', data_at="/a/0", hidden=True, open=False, title=None, tabindex=0)
    assert made == '<a class="&quot;&gt;&lt;script&gt;" data-at="/a/0" hidden tabindex="0">x</a>'


def test_what_is_no_text_or_turns_the_line_around_is_replaced():
    assert text("a\x00b\u202ec\ud800d") == "a\ufffdb\ufffdc\ufffdd"
    assert text("a\tb\nc é 漢 \u00a0 👩‍🔬") == "a\tb\nc é 漢 \u00a0 👩‍🔬"


def test_none_is_nothing():
    assert join(["a", None, Html("<br>"), "<"], ", ") == "a, <br>, &lt;"
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
