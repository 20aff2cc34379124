// For the end of OHIF's app-config.js. OHIF 3.12 draws a mask on every image at the place of the mask's own
// image. The frames of an ultrasound cine have no place, so it takes all of them to be at (0, 0, 0) and draws
// the masks of all frames on each frame. Here a frame without a place gets one of its own, by its number.
const waiting = setInterval(() => {
  if (!window.cornerstone) return;
  clearInterval(waiting);
  const { metaData } = window.cornerstone;
  let asking = false;
  metaData.addProvider((type, imageId) => {
    const frame = type === "imagePlaneModule" && !asking && /frames\/(\d+)/.exec(imageId);
    if (!frame) return undefined;
    asking = true;
    const plane = metaData.get(type, imageId);
    asking = false;
    if (!plane?.usingDefaultValues || plane.imagePositionPatient.some(Boolean)) return plane;
    return { ...plane, imagePositionPatient: [0, 0, Number(frame[1]) - 1] };
  }, 100000);
}, 20);
