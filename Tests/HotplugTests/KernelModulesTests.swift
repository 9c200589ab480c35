import Testing

@testable import Hotplug

@Suite struct KernelModulesTests {
  /// Lines of Debian 12's modules.alias.
  private static let list = Array(
    """
    # Aliases extracted from modules themselves.
    alias pci:v00008086d00001237sv*sd*bc*sc*i* i82975x_edac
    alias usb:v*p*d*dc*dsc*dp*ic02isc02ip01in* cdc_acm
    alias usb:v*p*d*dc*dsc*dp*ic07isc01ip02in* usblp
    alias usb:v*p*d*dc*dsc*dp*ic03isc*ip*in* usbhid
    alias usb:v1A86p7523d*dc*dsc*dp*ic*isc*ip*in* ch341
    alias usb:v0403p6001d*dc*dsc*dp*ic*isc*ip*in* ftdi_sio
    alias usb:v0421p0486d*dc*dsc*dp*ic02isc02ipFFin* cdc_acm
    alias usb:v05A9p[0-4]5*d*dc*dsc*dp*ic*isc*ip*in* made_up

    """.utf8)

  @Test(arguments: [
    ("usb:v1209p0002d0100dc02dsc00dp00ic02isc02ip01in00", ["cdc_acm"]),
    ("usb:v04B8p0202d0100dc00dsc00dp00ic07isc01ip02in00", ["usblp"]),
    ("usb:v1A86p7523d0264dcFFdsc00dp00icFFisc01ip02in00", ["ch341"]),
    // A maker's own HID adapter: by the interface and by its ids.
    ("usb:v0403p6001d0600dc00dsc00dp00ic03isc00ip00in00", ["usbhid", "ftdi_sio"]),
    ("usb:v05A9p4519d0100dc00dsc00dp00icFFisc00ip00in00", ["made_up"]),
    ("usb:v0400pC35Ad0100dc00dsc00dp00icFFisc00ip00in00", []),
    ("", []),
  ])
  func `the modules for a device are those whose patterns fit it`(modalias: String, names: [String]) {
    #expect(KernelModules.names(for: modalias, in: Self.list) == names)
  }
}
