// How V8 treats buffers. By default every 64 MiB of new buffers start a collection of the whole heap, however small that
// is: at hundreds of megabytes a second, a third of all CPU time (measured while fetching). Counted as part of the heap,
// they start one when the heap with them has grown. It is for a whole process, so only programs call this, not the library.
import { setFlagsFromString } from 'node:v8'

/** Call it once, before the work begins. */
export function countBuffersAsHeap(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit')
}
