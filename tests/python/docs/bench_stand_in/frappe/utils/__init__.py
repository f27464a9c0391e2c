def cint(value):
    return int(value or 0)


def flt(value, precision=None):
    return round(float(value), precision)


def escape_html(text):
    return text
