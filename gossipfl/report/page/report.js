// Draw the page from top to bottom.

drawHead(byId("head"));
drawNotices(byId("notices"));
drawFindings(byId("findings"));
drawComparison(byId("comparison"));
drawAgreed(byId("agreed"));
drawCurves(byId("curves"));
drawTopologies(byId("topologies"));
drawContact(byId("contact"));
drawLabels(byId("labels"));
drawClasses(byId("classes"));
drawProvenance(byId("provenance"));
byId("foot").append(
  "Made by gossipfl: peers decide, trainers learn, engines carry. Charts: uPlot (MIT licence, in this file). This page loads nothing from anywhere.",
);
document.documentElement.dataset.ready = "true";
