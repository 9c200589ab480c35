// The citizen's screen as it lies in Web/, inside the program: a counter PC needs no files beside it.
#include "CScreen.h"

// clang takes #embed in every dialect of C, but says each time that it is from C23.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char page[] = {
#embed "Web/index.html"
};
static const unsigned char style[] = {
#embed "Web/screen.css"
};
static const unsigned char script[] = {
#embed "Web/screen.js"
};

cscreen_file cscreen_page(void) { return (cscreen_file){page, sizeof page}; }
cscreen_file cscreen_style(void) { return (cscreen_file){style, sizeof style}; }
cscreen_file cscreen_script(void) { return (cscreen_file){script, sizeof script}; }
