// The images are made by Tests/Fixtures/make_pages.py. They are embedded here and not by SwiftPM's embedInCode, which
// writes them as Swift array literals: those take over a minute to compile, #embed takes a tenth of a second.
#include "CPages.h"

// clang takes #embed in every dialect of C, but says each time that it is from C23.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char colour1[] = {
#embed "Pages/page-1.jpg"
};
static const unsigned char grey1[] = {
#embed "Pages/page-1-grey.jpg"
};
static const unsigned char colour2[] = {
#embed "Pages/page-2.jpg"
};
static const unsigned char grey2[] = {
#embed "Pages/page-2-grey.jpg"
};
static const unsigned char colour3[] = {
#embed "Pages/page-3.jpg"
};
static const unsigned char grey3[] = {
#embed "Pages/page-3-grey.jpg"
};
static const unsigned char colour4[] = {
#embed "Pages/page-4.jpg"
};
static const unsigned char grey4[] = {
#embed "Pages/page-4-grey.jpg"
};

static const struct CPage colour[CPAGES_COUNT] = {
    {colour1, sizeof colour1},
    {colour2, sizeof colour2},
    {colour3, sizeof colour3},
    {colour4, sizeof colour4},
};
static const struct CPage grey[CPAGES_COUNT] = {
    {grey1, sizeof grey1},
    {grey2, sizeof grey2},
    {grey3, sizeof grey3},
    {grey4, sizeof grey4},
};

struct CPage cpages_page(int number, bool in_grey) {
  if (number < 0 || number >= CPAGES_COUNT) {
    return (struct CPage){NULL, 0};
  }
  return in_grey ? grey[number] : colour[number];
}
