#pragma once

// A program that is linked with this target overwrites every piece of memory when it is given back (erase.c). There is
// nothing to call.
