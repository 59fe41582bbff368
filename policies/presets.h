/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BIVALVE_POLICIES_PRESETS_H
#define BIVALVE_POLICIES_PRESETS_H

/* The text of a preset; NULL: no such preset. Static. */
const char *preset_text(const char *name);

#endif
