/*
 * EFA device model: lists of rules that users give
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_RULES_H
#define HW_EFA_RULES_H

/*
 * Set @errp to what is wrong with the rule of this number in the property
 * @list, and return false.
 */
bool G_GNUC_PRINTF(4, 5)
efa_rule_refuse(GError **errp, const char *list, size_t rule, const char *fmt,
                ...);

#endif /* HW_EFA_RULES_H */
