/** Vendored without its types. */
declare const JsSIP: any;
export default JsSIP;
