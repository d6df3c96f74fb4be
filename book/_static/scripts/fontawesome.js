// In place of the theme's, which draws every icon there is: the icons of the pages come from a font (book/_ext/light.py).
