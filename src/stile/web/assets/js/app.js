// Enhancement only: every page reads and every decision works without this file.
import "htmx.org/dist/htmx.esm.js";
import { startAddresses } from "./addresses.js";
import { startCharts } from "./charts.js";
import { startCurves } from "./curves.js";
import { startCompletions } from "./complete.js";
import { startForms } from "./forms.js";
import { startKeys } from "./keys.js";
import { startLive } from "./live.js";
import { startTheme } from "./theme.js";
import { startTicks } from "./ticks.js";
import { startTimes } from "./times.js";

startAddresses();
startTheme();
startTimes();
startKeys();
startForms();
startCompletions();
startTicks();
startCharts();
startCurves();
startLive();
