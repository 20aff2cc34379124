// Reads a segmentation with the adapters of cornerstone, as they come from npm.
// node adapters.mjs MODULES SEG SOURCE; writes the label maps of all frames, a byte for each pixel, to stdout.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, seg, source] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${modules}/node_modules/${name}`).href);
const dcmjs = createRequire(modules + "/")("dcmjs");
const { adaptersSEG } = await load("@cornerstonejs/adapters/dist/esm/index.js");
const buffer = (path) => new Uint8Array(readFileSync(path)).buffer;
const { DicomMessage, DicomMetaDictionary } = dcmjs.data;
const image = DicomMetaDictionary.naturalizeDataset(DicomMessage.readFile(buffer(source)).dict);
const frames = Number(image.NumberOfFrames ?? 1);
const imageIds = Array.from({ length: frames }, (_, frame) => `wadors:/frames/${frame + 1}`);
const plane = { rowCosines: [1, 0, 0], columnCosines: [0, 1, 0], rows: image.Rows, columns: image.Columns,
  imageOrientationPatient: [1, 0, 0, 0, 1, 0], imagePositionPatient: [0, 0, 0],
  rowPixelSpacing: 1, columnPixelSpacing: 1, pixelSpacing: [1, 1] };
const modulesOf = (id) => ({
  imagePlaneModule: plane,
  generalSeriesModule: { seriesInstanceUID: image.SeriesInstanceUID },
  generalImageModule: { sopInstanceUID: image.SOPInstanceUID },
  sopCommonModule: { sopInstanceUID: image.SOPInstanceUID },
  frameModule: { sopInstanceUID: image.SOPInstanceUID, frameNumber: imageIds.indexOf(id) + 1 },
  instance: { ...image, frameNumber: imageIds.indexOf(id) + 1 },
});
const metadataProvider = { get: (type, id) => modulesOf(id)[type] };
const { metaData } = await load("@cornerstonejs/core/dist/esm/index.js");
metaData.addProvider((type, id) => imageIds.includes(id) && modulesOf(id)[type], 1);
const read = adaptersSEG.Cornerstone3D.Segmentation.createFromDICOMSegBuffer;
const { labelMapImages } = await read(imageIds, buffer(seg), { metadataProvider });
for (const each of labelMapImages[0]) process.stdout.write(Buffer.from(each.getPixelData()));
