// Opens a study in OHIF, then its segmentation or report, and takes a picture of each frame before and after.
// node ohif.mjs MODULES URL FRAMES FOLDER; prints where the image is in the pictures, and what OHIF says.
import { createRequire } from "node:module";

const [modules, url, frames, folder] = process.argv.slice(2);
const { chromium } = createRequire(modules + "/")("playwright-core");
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
});
const page = await browser.newPage({ viewport: { width: 1200, height: 700 } });
const BARE = `[data-cy="viewport-pane"] * { visibility: hidden; }
  [data-cy="viewport-pane"] :is(canvas, .svg-layer, .svg-layer *) { visibility: visible; }`;
const errors = [];
const written = []; // on the frames
page.on("pageerror", (error) => errors.push(error.message));
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
await page.addInitScript(() => {
  localStorage.setItem("shownTours", '["basicViewerTour"]');
  sessionStorage.setItem("investigationalUseDialog", "hidden");
  window.viewport = () =>
    services.cornerstoneViewportService.getCornerstoneViewport(services.viewportGridService.getActiveViewportId());
});
const pane = page.locator('[data-cy="viewport-pane"]').first();
const steps = async (name) => {
  for (let frame = 0; frame < Number(frames); frame++) {
    await page.evaluate((index) => viewport().setImageIdIndex(index), frame);
    await page.waitForFunction((index) => viewport().getCurrentImageIdIndex() === index, frame);
    await page.mouse.move(2, 2);
    await page.waitForTimeout(1000);
    written.push(...(await page.locator(".svg-layer").allTextContents()));
    await pane.screenshot({ path: `${folder}/${name}${frame}.png` });
  }
};
let corners, bare;
try {
  await page.goto(url, { waitUntil: "domcontentloaded" });
  await pane.locator("canvas").first().waitFor({ timeout: 90000 });
  await page.waitForFunction(() => viewport()?.getCurrentImageId?.(), null, { timeout: 90000 });
  await page.waitForTimeout(1500);
  corners = await page.evaluate(() => {
    const { canvas } = viewport();
    const at = canvas.getBoundingClientRect();
    const pane = document.querySelector('[data-cy="viewport-pane"]').getBoundingClientRect();
    const image = viewport().getImageData();
    const toCanvas = (i, j) => viewport().worldToCanvas(image.imageData.indexToWorld([i, j, 0]));
    const end = toCanvas(image.dimensions[0] - 0.5, image.dimensions[1] - 0.5);
    return [toCanvas(-0.5, -0.5), end].map(([x, y]) => [x + at.x - pane.x, y + at.y - pane.y]);
  });
  bare = await page.addStyleTag({ content: BARE }); // texts and icons on top of the image change
  await steps("plain");
  await page.locator('[data-cy="study-browser-thumbnail-no-image"]').first().dblclick();
  await page.waitForTimeout(4000);
  await steps("shown");
} catch (error) {
  errors.push(error.message);
} finally {
  await bare?.evaluate((style) => style.remove());
  await page.screenshot({ path: `${folder}/page.png` });
  const said = [await page.locator("body").innerText(), ...written].join(" ");
  console.log(JSON.stringify({ corners, errors, said }));
  await browser.close();
}
