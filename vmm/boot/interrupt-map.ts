/** Where the in-kernel interrupt controllers are, as every table of a PC says it. */
export const LAPIC_ADDRESS = 0xfee00000;
export const IOAPIC_ADDRESS = 0xfec00000;
export const IOAPIC_ID = 0;
/**
 * Pins of the IOAPIC. By KVM's default routing an interrupt's number is its pin, the timer's included
 * (KVM API document, KVM_SET_GSI_ROUTING).
 */
export const INTERRUPT_PINS = 24;
