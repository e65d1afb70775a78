/** The network of a cluster: what the rest of tsvmm uses of it. */
export type { Capture } from './capture/capture.ts';
export { type CounterName, counterNames, type PortCounters, PortTable } from './counters.ts';
export { type ImpairmentConfig, validateImpairment } from './impairment.ts';
export { parseMac } from './mac.ts';
export { type Markers, OUTSIDE, Verdict } from './markers.ts';
export { type CaptureRequest, Networks, type PortStatus, type ThreadModule } from './networks.ts';
export { macFor, type NicOptions, NicPlug } from './nic-plug.ts';
export type { NetworkConfig } from './registry.ts';
export { type NetExtension, serveNet } from './serve.ts';
export type { TapConfig } from './tap/tap-device.ts';
