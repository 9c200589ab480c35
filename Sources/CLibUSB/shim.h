#ifndef CLIBUSB_SHIM_H
#define CLIBUSB_SHIM_H

#include <libusb-1.0/libusb.h>

// libusb_set_option is variadic, which Swift cannot call.
// For every context from now on: no scan of the buses, no monitor thread; devices come by libusb_wrap_sys_device only.
static inline int clibusb_disable_discovery(void) {
  return libusb_set_option(NULL, LIBUSB_OPTION_NO_DEVICE_DISCOVERY);
}

#endif
